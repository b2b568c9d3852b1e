"""The lesson's simple CNN, as it is."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="the lesson's simple CNN on MNIST",
    net="simple-cnn",
    dataset="mnist",
    epochs=10,
    opt="muon",
    lr=0.1,
    schedule="linear",
    warm_up=0.2,
)
