"""Fashion-MNIST in a minute on a GPU; its settings were not measured on one yet."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="a network of 540,000 parameters on Fashion-MNIST for 40 epochs, for a GPU",
    net="fashion-cnn-wide",
    dataset="fashion-mnist",
    epochs=40,
    opt="muon",
    lr=0.1,
    batch_size=512,
    schedule="linear",
    init="whiten",
    warm_up=0.15,
    label_smoothing=0.1,
    flip=True,
    shift=2,
    erase=0.4,
    test_time="flip",
)
