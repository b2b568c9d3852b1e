"""The loop in the hands of Hugging Face's accelerate: several GPUs, processes or machines."""

from __future__ import annotations

from typing import Any

import torch

from sheetconv.errors import UsageError
from sheetconv.train.callback import Callback
from sheetconv.train.learner import Learner


class Accelerate(Callback):
    """Trains with `accelerate launch` on all its processes, instead of `Device` and `MixedPrecision`.

    Each process sees its own share of every epoch; gradients are averaged by accelerate, our metrics are
    added up over the processes. `batch_size` is that of one process. Random augmentation is drawn per
    process where the processes are seeded differently. `settings` go to `accelerate.Accelerator`
    (`mixed_precision="bf16"`, `cpu=True`, …). Raises `UsageError` where the extra is not installed.
    """

    order = -100

    def __init__(self, **settings: Any) -> None:
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise UsageError("the Accelerate callback needs `pip install 'sheetconv[accelerate]'`") from error
        self.accelerator = Accelerator(**settings)
        self._own: Any = None
        self._joint: Any = None

    def before_fit(self, learn: Learner) -> None:
        """Hand over model, optimiser and loaders."""
        if any(type(cb).__name__ in ("MixedPrecision", "Device") for cb in learn.cbs):
            raise UsageError("Accelerate does what Device and MixedPrecision do; leave these two out")
        accelerator = self.accelerator
        self._own, self._dls = learn.model, (learn.dls.train, learn.dls.valid)
        if learn.opt is None:
            learn.model.to(accelerator.device)
        else:
            self._joint, learn.opt = accelerator.prepare(learn.model, learn.opt)
        for name in ("train", "valid"):
            setattr(learn.dls, name, self._share(getattr(learn.dls, name)))
        learn.main = accelerator.is_main_process
        learn.reduce_sums = self._sum

    def _share(self, loader: Any) -> Any:
        if hasattr(loader, "shard"):
            loader.shard(self.accelerator.process_index, self.accelerator.num_processes)
            return loader.to(self.accelerator.device)
        return loader if loader is None else self.accelerator.prepare(loader)

    def _sum(self, total: Any, n: float) -> tuple[float, float]:
        both = torch.tensor([float(total), n], dtype=torch.float32, device=self.accelerator.device)
        first, second = self.accelerator.reduce(both, "sum").tolist()
        return first, second

    def before_epoch(self, learn: Learner) -> None:
        """Train with the joint model; validate with the process's own, which waits for no other."""
        if learn.training:
            learn.model = self._joint

    def after_epoch(self, learn: Learner) -> None:
        """Give the model back to the other callbacks."""
        if self._own is not None:
            learn.model = self._own

    def cleanup_epoch(self, learn: Learner) -> None:
        """Give the model back in every case."""
        self.after_epoch(learn)

    def backward(self, learn: Learner) -> None:
        """Compute the gradients, averaged over the processes."""
        self.accelerator.backward(learn.loss)

    def cleanup_fit(self, learn: Learner) -> None:
        """Leave model, loaders and learner as they were before."""
        if self._own is None:
            return
        learn.model = self._own
        learn.dls.train, learn.dls.valid = self._dls
        for loader in self._dls:
            if hasattr(loader, "shard"):
                loader.shard(0, 1)
        learn.main, learn.reduce_sums, self._own, self._joint = True, None, None, None
