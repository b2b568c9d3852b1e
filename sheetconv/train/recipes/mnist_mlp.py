"""The lesson's network before convolutions."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="the lesson's MLP, 784 → 50 → 10, on MNIST",
    net="mlp",
    dataset="mnist",
    epochs=10,
    opt="adamw",
    lr=0.01,
    weight_decay=0.01,
)
