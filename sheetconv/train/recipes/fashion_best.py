"""Fashion-MNIST in minutes on a CPU."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="a network of 570,000 parameters on Fashion-MNIST",
    net="fashion-cnn-wide",
    dataset="fashion-mnist",
    epochs=16,
    opt="muon",
    lr=0.1,
    schedule="linear",
    warm_up=0.2,
    label_smoothing=0.1,
    flip=True,
    shift=1,
    erase=0.3,
    test_time="flip",
)
