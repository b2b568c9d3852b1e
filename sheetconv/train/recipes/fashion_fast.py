"""Fashion-MNIST in two minutes on a CPU."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="a network of 251,000 parameters on Fashion-MNIST, in two minutes on a CPU",
    net="fashion-cnn",
    dataset="fashion-mnist",
    epochs=3,
    opt="muon",
    lr=0.15,
    schedule="linear",
    momentum=0.85,
    warm_up=0.2,
    init="whiten",
    label_smoothing=0.1,
    flip=True,
    skip_easy=0.35,
    held_out=1000,
    test_time="flip",
)
