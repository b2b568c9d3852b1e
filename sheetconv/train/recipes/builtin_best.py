"""The best that the built-in handwriting is good for, in minutes."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="a network of 121,000 parameters on handwriting that sheetconv draws itself, new each epoch",
    net="strided-cnn",
    dataset="builtin",
    epochs=7,
    opt="muon",
    lr=0.02,
    schedule="linear",
    warm_up=0.2,
    label_smoothing=0.1,
    fresh=True,
)
