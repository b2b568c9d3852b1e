"""The lesson's simple CNN on clothes."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="the lesson's simple CNN on Fashion-MNIST",
    net="simple-cnn",
    dataset="fashion-mnist",
    epochs=5,
    opt="muon",
    lr=0.1,
    schedule="linear",
    warm_up=0.2,
)
