"""The lesson's simple CNN with no data at hand."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="the lesson's simple CNN on handwriting that sheetconv draws itself: needs no download",
    net="simple-cnn",
    dataset="builtin",
    epochs=10,
    label_smoothing=0.1,
    opt="adamw",
    lr=0.02,
    weight_decay=0.01,
    warm_up=0.2,
    batch_size=128,
)
