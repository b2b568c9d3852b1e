"""The lesson's simple CNN with batch-norm after its convolutions."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="the lesson's simple CNN with batch-norm on MNIST, shifted by up to a pixel",
    net="simple-cnn-bn",
    dataset="mnist",
    epochs=10,
    opt="muon",
    lr=0.1,
    batch_size=128,
    schedule="linear",
    warm_up=0.2,
    shift=1,
)
