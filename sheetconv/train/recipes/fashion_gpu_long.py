"""Fashion-MNIST in ten minutes on a GPU; its settings were not measured on one yet."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="a network of 3.2 million parameters on Fashion-MNIST for 150 epochs, for a GPU",
    net="fashion-cnn-large",
    dataset="fashion-mnist",
    epochs=150,
    opt="muon",
    lr=0.1,
    batch_size=512,
    schedule="linear",
    init="whiten",
    warm_up=0.1,
    label_smoothing=0.1,
    flip=True,
    shift=2,
    erase=0.5,
    average=0.999,
    test_time="flip",
)
