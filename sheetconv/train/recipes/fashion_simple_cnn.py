"""The lesson's simple CNN on clothes."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="the lesson's simple CNN on Fashion-MNIST",
    net="simple-cnn",
    dataset="fashion-mnist",
    epochs=5,
    opt="adamw",
    lr=0.015,
    weight_decay=0.01,
    schedule="linear",
    warm_up=0.2,
    batch_size=64,
    trials=6,
)
