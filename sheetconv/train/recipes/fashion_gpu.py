"""Fashion-MNIST on a GPU: longer, with everything that helps."""

from sheetconv.train.recipes import Recipe

RECIPE = Recipe(
    summary="the network of 570,000 parameters for 60 epochs, for a GPU",
    net="fashion-cnn-wide",
    dataset="fashion-mnist",
    epochs=60,
    opt="muon",
    lr=0.1,
    batch_size=512,
    schedule="linear",
    warm_up=0.1,
    label_smoothing=0.1,
    flip=True,
    shift=2,
    erase=0.5,
    average=0.999,
    test_time="flip",
)
