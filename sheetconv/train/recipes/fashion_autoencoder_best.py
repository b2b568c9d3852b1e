"""The same code of 128 numbers with a better network around it."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="a better autoencoder (226,000 parameters) with the lesson's code of 128 numbers on Fashion-MNIST",
    net="shuffle-autoencoder",
    dataset="fashion-mnist",
    task="reconstruct",
    epochs=5,
    opt="muon",
    lr=0.1,
    schedule="linear",
    warm_up=0.2,
)
