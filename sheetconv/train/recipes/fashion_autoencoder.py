"""The lesson's autoencoder, layer for layer, trained so that it works."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="the lesson's autoencoder (777 parameters, a code of 128 numbers) on Fashion-MNIST",
    net="autoencoder",
    dataset="fashion-mnist",
    task="reconstruct",
    epochs=20,
    opt="full-adam",
    lr=0.015,
    batch_size=128,
    schedule="linear",
    warm_up=0.2,
    init="open",
    trials=8,
    trial_epochs=6,
)
