"""sheetconv opens a convolutional network in a spreadsheet, as live formulas proven against torch.

In Python the package offers what the commands do, and the training engine; in a notebook the results show themselves:

    import sheetconv as sc

    sc.build("digit.xlsx", "simple-cnn", dataset="builtin", index=506)
    sc.verify("digit.xlsx")                     # a table
    sc.trace("digit.xlsx", "Network!FB8")       # a picture
    sc.load_digits(10)                          # images with titles

Every name of `__all__` is loaded when it is first used, so that the import itself is quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sheetconv.api import build as build
    from sheetconv.api import lint as lint
    from sheetconv.api import load_digits as load_digits
    from sheetconv.api import read_photo as read_photo
    from sheetconv.api import receptive_field as receptive_field
    from sheetconv.api import recover as recover
    from sheetconv.api import trace as trace
    from sheetconv.api import verify as verify
    from sheetconv.data.sources import open_dataset as open_dataset
    from sheetconv.errors import SheetconvError as SheetconvError
    from sheetconv.models import load_model as load_model
    from sheetconv.notebook.pictures import Picture as Picture
    from sheetconv.notebook.pictures import show_activations as show_activations
    from sheetconv.notebook.pictures import show_batch as show_batch
    from sheetconv.notebook.pictures import show_image as show_image
    from sheetconv.notebook.pictures import show_images as show_images
    from sheetconv.notebook.pictures import show_kernels as show_kernels
    from sheetconv.notebook.pictures import show_learning_rates as show_learning_rates
    from sheetconv.notebook.pictures import show_maps as show_maps
    from sheetconv.train import callbacks as callbacks
    from sheetconv.train import recipes as recipes
    from sheetconv.train.callbacks.lr_finder import lr_find as lr_find
    from sheetconv.train.learner import Learner as Learner
    from sheetconv.train.loaders import DataLoaders as DataLoaders
    from sheetconv.train.metrics import Accuracy as Accuracy
    from sheetconv.train.metrics import Metric as Metric

_HOMES = {
    "sheetconv.api": "build lint load_digits read_photo receptive_field recover trace verify",
    "sheetconv.data.sources": "open_dataset",
    "sheetconv.errors": "SheetconvError",
    "sheetconv.models": "load_model",
    "sheetconv.notebook.pictures": "Picture show_activations show_batch show_image show_images show_kernels"
    " show_learning_rates show_maps",
    "sheetconv.train": "callbacks recipes",
    "sheetconv.train.callbacks.lr_finder": "lr_find",
    "sheetconv.train.learner": "Learner",
    "sheetconv.train.loaders": "DataLoaders",
    "sheetconv.train.metrics": "Accuracy Metric",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(_HOME[name])
    value = getattr(home, name, None)
    return importlib.import_module(f"{_HOME[name]}.{name}") if value is None else value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
