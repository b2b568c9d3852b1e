"""The training engine: Learner, callbacks, metrics, recipes.

    from sheetconv.train import DataLoaders, Learner, OneCycle, …       # every name below, and every callback
    data = {split: open_dataset("mnist", split) for split in ("train", "test")}
    dls = DataLoaders.from_dd(data, batch_size=256, device="cpu", seed=0)
    cbs = [Device(), StopAtNaN(), Metrics(Accuracy()), OneCycle(), Recorder()]
    learn = Learner(simple_cnn(), dls, F.cross_entropy, lr=2e-2, cbs=cbs, opt_func=torch.optim.AdamW)
    learn.fit(5)
    learn.history   # [{"epoch": 1, "train_loss": …, "lr": …, "valid_loss": …, "valid_accuracy": …}, …]

Further modules: `callback` (Callback, the hooks, Cancel…Exception, with_cbs), `metrics` (Metric, Accuracy),
`loaders` (DataLoaders, ResidentLoader), `devices` (choose_device, to_device, to_cpu), `switches` (choose_switches:
threads, bf16, convolutions), `winograd` (conv3x3), `optimisers` (optimiser by name, Muon), `augment` (transforms
for `BatchTransform`, views for `TestTimeAveraging`), `hooks` (Hooks, lsuv_init), `summary`, `state` (files without
pickle; set_seed), `momentum` (MomentumLearner), `relu` (GeneralRelu), `show` (pictures while one works). Callbacks:
Accelerate, Device, Check, SingleBatch, Train, BatchTransform, StopAtNaN, Metrics, Timer, MixedPrecision, Winograd,
Compile, GradientClip, ActivationStats, Recorder, TestTimeAveraging, Schedule, OneCycle, Scheduler, WeightAveraging,
CapturePreds (capture_preds), Progress, LRFinder (lr_find), Checkpoint(folder, monitor, resume, run), CsvLog,
TensorBoard, EarlyStopping. A callback of one's own writes into `learn.row`, the
figures of the epoch at hand, and looks at `learn.closing` for the epoch's end.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "learner": ("Learner",),
    "momentum": ("MomentumLearner",),
    "callback": (
        "Callback",
        "CancelBatchException",
        "CancelEpochException",
        "CancelFitException",
        "with_cbs",
    ),
    "loaders": ("DataLoaders", "ResidentLoader", "collate_dict"),
    "metrics": ("Accuracy", "Metric"),
    "devices": ("choose_device", "to_cpu", "to_device"),
    "hooks": ("Hooks", "leaves", "lsuv_init", "of_kind"),
    "optimisers": ("FullMatrixAdam", "Muon", "optimiser"),
    "relu": ("GeneralRelu",),
    "show": ("get_grid", "grid", "plot_func", "show_image", "show_images"),
    "state": ("set_seed",),
}
_HOME = {name: module for module, names in _WHERE.items() for name in names}


def __getattr__(name: str) -> Any:
    """Names by the module that has them, imported when they are asked for, so that `import sheetconv` stays fast."""
    if name.startswith("_"):
        raise AttributeError(name)
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
    return getattr(importlib.import_module(f"{__name__}.callbacks"), name)
