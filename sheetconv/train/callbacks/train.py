"""The five steps of a batch as a callback: for networks with several inputs, and to be subclassed."""

from __future__ import annotations

from sheetconv.errors import UsageError
from sheetconv.train.callback import Callback
from sheetconv.train.learner import Learner


class Train(Callback):
    """Takes over predict, loss, backward, step, zero_grad: the batch's first `n_inputs` go to the network.

    The rest of the batch goes to the loss function after the predictions.
    """

    order = -90

    def __init__(self, n_inputs: int = 1) -> None:
        if n_inputs < 1:
            raise UsageError(f"a network cannot take {n_inputs} inputs; give 1 or more")
        self.n_inputs = n_inputs

    def predict(self, learn: Learner) -> None:
        """Call the network with the inputs."""
        learn.preds = learn.model(*learn.batch[: self.n_inputs])

    def get_loss(self, learn: Learner) -> None:
        """Call the loss function with predictions and targets."""
        learn.loss = learn.loss_func(learn.preds, *learn.batch[self.n_inputs :])

    def backward(self, learn: Learner) -> None:
        """Compute the gradients."""
        learn.loss.backward()

    def step(self, learn: Learner) -> None:
        """Let the optimiser step."""
        learn.opt.step()

    def zero_grad(self, learn: Learner) -> None:
        """Forget the gradients."""
        learn.opt.zero_grad()
