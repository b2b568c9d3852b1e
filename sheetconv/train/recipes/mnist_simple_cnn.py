"""The lesson's simple CNN, as it is."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="the lesson's simple CNN on MNIST",
    net="simple-cnn",
    dataset="mnist",
    epochs=10,
    opt="adamw",
    lr=0.02,
    weight_decay=0.01,
    warm_up=0.2,
    batch_size=128,
)
