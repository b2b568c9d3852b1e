"""The training loop on one page: what is not here is in callbacks.

    fit ─▶ one_epoch (training, then validation) ─▶ one_batch: predict, loss, backward, step, zero_grad
Around each level run the hooks `before_`, `after_` and `cleanup_` of it, and `after_` each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sheetconv.errors import UsageError
from sheetconv.train.callback import STEPS, Callback, hooks_of, in_order, listed, with_cbs
from sheetconv.train.loaders import DataLoaders
from sheetconv.train.looking import Looking


class Learner(Looking):
    """Trains `model` on `dls.train`, validates it on `dls.valid`.

    A batch is a tuple of inputs and targets. `loss_func(preds, targets)` gives a scalar, `opt_func(params, lr)` the
    optimiser of a fit, by default SGD. While fitting, callbacks find and may change: `epoch`, `epochs`, `training`,
    `closing` (the pass that ends the epoch), `dl`, `iter`, `batch`, `preds`, `loss`, `opt`. `row` collects this epoch's
    figures, `history` all rows. Of several processes `main` is True in one; `reduce_sums` adds up a metric's sums.
    """

    opt: Any = None
    dl: Any = None
    batch: Any = None
    preds: Any = None
    loss: Any = None
    main, training, closing = True, False, False
    reduce_sums: Callable[[Any, float], tuple[float, float]] | None = None

    def __init__(
        self,
        model: nn.Module,
        dls: DataLoaders | None = None,
        loss_func: Callable[..., Tensor] = nn.functional.mse_loss,
        lr: float = 0.1,
        cbs: Callback | Iterable[Callback] = (),
        opt_func: Callable[..., Any] | None = None,
    ) -> None:
        self.model, self.dls, self.loss_func, self.lr = model, dls or DataLoaders(None), loss_func, lr
        self.opt_func, self.cbs = opt_func or torch.optim.SGD, listed(cbs)
        self.history: list[dict[str, float]] = []
        self.row: dict[str, float] = {}
        self.epochs: Sequence[int] = ()
        self.n_epochs = self.epoch = self.iter = 0
        self._bind(self.cbs)

    def fit(
        self,
        n_epochs: int = 1,
        train: bool = True,
        valid: bool = True,
        cbs: Callback | Iterable[Callback] = (),
        lr: float | None = None,
    ) -> None:
        """Train and validate for `n_epochs`, with `cbs` added for this fit only and `lr` instead of its own."""
        if n_epochs < 0:
            raise UsageError(f"cannot train {n_epochs} epochs; give 0 or more")
        if train and self.dls.train is None:
            raise UsageError("there is no data to train on; give the Learner `dls`")
        own, self.cbs = self.cbs, [*self.cbs, *listed(cbs)]
        try:
            self._bind(self.cbs)
            self.n_epochs, self.epochs, self.history = n_epochs, range(n_epochs), []
            rate = self.lr if lr is None else lr
            self.opt = self.opt_func(self.model.parameters(), rate) if train else None
            self._fit(train, valid and self.dls.valid is not None)
        finally:
            self.cbs = own
            self.dl = self.batch = self.preds = self.loss = None

    def _bind(self, cbs: list[Callback]) -> None:
        """Look up every hook and step once, so that the loop itself only calls them."""
        self.cbs = in_order(cbs)
        self.hooks = hooks_of(self.cbs)
        self._steps: dict[str, Callable[[], None]] = {name: getattr(self, name) for name in STEPS}
        for cb in self.cbs:
            self._steps |= {name: partial(getattr(cb, name), self) for name in STEPS if hasattr(cb, name)}

    def run(self, hook: str) -> None:
        """Call `hook` of every callback."""
        for call in self.hooks[hook]:
            call(self)

    @with_cbs("fit")
    def _fit(self, train: bool, valid: bool) -> None:
        for self.epoch in self.epochs:  # noqa: B020
            self.row = {"epoch": self.epoch + 1}
            self.history.append(self.row)
            if train:
                self.one_epoch(True, not valid)
            if valid:
                self.one_epoch(False, True)

    def one_epoch(self, training: bool, closing: bool = True) -> None:
        """One pass over the training or the validation data."""
        self.training, self.closing = training, closing
        self.model.train(training)
        self.dl = self.dls.train if training else self.dls.valid
        with torch.set_grad_enabled(training):
            self._one_epoch()

    @with_cbs("epoch")
    def _one_epoch(self) -> None:
        for self.iter, self.batch in enumerate(self.dl):  # noqa: B020
            self.one_batch()

    @with_cbs("batch")
    def one_batch(self) -> None:
        """Predict, compute the loss and, when training, step."""
        run, steps = self.run, self._steps
        steps["predict"]()
        run("after_predict")
        steps["get_loss"]()
        run("after_loss")
        if self.training:
            steps["backward"]()
            run("after_backward")
            steps["step"]()
            run("after_step")
            steps["zero_grad"]()

    def predict(self) -> None:
        """Set `preds` from the batch's first element."""
        self.preds = self.model(self.batch[0])

    def get_loss(self) -> None:
        """Set `loss` from `preds` and the batch's second element."""
        self.loss = self.loss_func(self.preds, self.batch[1])

    def backward(self) -> None:
        """Compute the gradients."""
        self.loss.backward()

    def step(self) -> None:
        """Let the optimiser step."""
        self.opt.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.opt.zero_grad()
