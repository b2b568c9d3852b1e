"""The lesson's autoencoder with no data at hand."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="the lesson's autoencoder on handwriting that sheetconv draws itself: needs no download",
    net="autoencoder",
    dataset="builtin",
    task="reconstruct",
    epochs=8,
    opt="muon",
    lr=0.05,
    batch_size=128,
    schedule="linear",
    warm_up=0.2,
    init="open",
    trials=8,
    adam_ratio=0.2,
)
