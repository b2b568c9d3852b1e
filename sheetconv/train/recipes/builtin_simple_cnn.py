"""The lesson's simple CNN with no data at hand; settings of tests/benchmarks/handwriting_worth.py."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="the lesson's simple CNN on handwriting that sheetconv draws itself: needs no download",
    net="simple-cnn",
    dataset="builtin",
    epochs=8,
    opt="muon",
    lr=0.05,
    schedule="linear",
    warm_up=0.2,
    label_smoothing=0.1,
    fresh=True,
)
