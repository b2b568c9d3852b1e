"""The best of MNIST in minutes."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="a network of 69,000 parameters on MNIST, affine augmentation, averaged weights",
    net="compact-cnn",
    batch_size=128,
    dataset="mnist",
    epochs=12,
    opt="muon",
    lr=0.1,
    schedule="linear",
    warm_up=0.2,
    affine=0.08,
    shift=1,
    average=0.995,
    test_time="shift",
)
