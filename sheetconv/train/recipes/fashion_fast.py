"""Fashion-MNIST in two minutes on a CPU."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="a network of 204,000 parameters on Fashion-MNIST, in two minutes of a CPU",
    net="fashion-cnn",
    dataset="fashion-mnist",
    epochs=3,
    opt="muon",
    lr=0.15,
    schedule="linear",
    warm_up=0.2,
    label_smoothing=0.1,
    flip=True,
    average=0.98,
    skip_easy=0.4,
    held_out=2000,
    test_time="flip",
)
