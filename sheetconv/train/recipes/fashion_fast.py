"""Fashion-MNIST in two minutes on a CPU."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="a network of 147,000 parameters on Fashion-MNIST",
    net="fashion-cnn",
    dataset="fashion-mnist",
    epochs=2,
    opt="muon",
    lr=0.1,
    schedule="linear",
    warm_up=0.2,
    label_smoothing=0.1,
    flip=True,
    shift=1,
    test_time="flip",
)
