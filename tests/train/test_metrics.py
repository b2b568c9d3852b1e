"""Metrics: the lesson's figures, weights of uneven batches, torchmetrics' protocol."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn, tensor

from sheetconv.errors import UsageError
from sheetconv.train.callbacks.metrics import Metrics
from sheetconv.train.learner import Learner
from sheetconv.train.metrics import Accuracy, Metric

Make = Callable[..., Learner]


def test_accuracy_of_the_lesson() -> None:
    accuracy = Accuracy()
    accuracy.add(tensor([0, 1, 2, 0, 1, 2]), tensor([0, 1, 1, 2, 1, 0]))
    accuracy.add(tensor([1, 1, 2, 0, 1]), tensor([0, 1, 1, 2, 1]))
    assert accuracy.value == pytest.approx(0.45)


def test_weighted_mean_of_the_lesson() -> None:
    loss = Metric()
    loss.add(tensor(0.6), n=32)
    loss.add(tensor(0.9), n=2)
    assert round(loss.value, 4) == 0.6176


def test_accuracy_of_scores_takes_the_largest() -> None:
    accuracy = Accuracy()
    accuracy.add(tensor([[0.1, 0.9], [0.8, 0.2]]), tensor([1, 1]))
    assert accuracy.value == 0.5


def test_accuracy_of_uneven_batches_that_wait_is_that_of_all_at_once() -> None:
    torch.manual_seed(0)
    scores, target = torch.randn(70_000, 10, requires_grad=True), torch.randint(0, 10, (70_000,))
    accuracy = Accuracy()
    for x, y in zip(scores.split(999), target.split(999), strict=True):
        accuracy.add(x, y, len(x))
        assert accuracy._numbers < 300_000
        assert not any(kept.requires_grad for kept, _, _ in accuracy._waiting)
    assert accuracy.value == (scores.argmax(1) == target).double().mean().item()
    accuracy.add(scores[:1], scores[:1].argmax(1), 1)  # goes on after its value was asked for
    assert accuracy.sums()[1] == 70_001
    accuracy.reset()
    assert accuracy.value != accuracy.value


def test_nothing_added_is_not_a_number_and_reset_forgets() -> None:
    metric = Metric()
    assert metric.value != metric.value
    metric.add(3.0)
    metric.reset()
    metric.add(5.0, n=7)
    assert metric.value == 5.0


def test_many_batches_are_folded_without_loss() -> None:
    metric = Metric()
    sizes = [1 + i % 3 for i in range(1300)]
    for i, n in enumerate(sizes):
        metric.add(tensor(float(i)), n=n)
    wanted = sum(i * n for i, n in enumerate(sizes)) / sum(sizes)
    assert metric.value == pytest.approx(wanted, rel=1e-12)


def test_uneven_last_batches_are_weighted(make_learner: Make) -> None:
    learn = make_learner(Metrics(Accuracy()), n_valid=50, batch_size=16)  # 16, 16, 16, 2
    learn.fit(2)
    x, y = learn.dls.valid.sample(50)
    learn.model.eval()
    with torch.no_grad():
        preds = learn.model(x)
    row = learn.history[-1]
    assert row["valid_accuracy"] == pytest.approx((preds.argmax(1) == y).double().mean().item(), abs=1e-6)
    assert row["valid_loss"] == pytest.approx(nn.functional.cross_entropy(preds, y).item(), rel=1e-5)
    assert "train_accuracy" not in row


class Protocol:
    """What torchmetrics' objects offer, and no more."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.right = self.seen = 0

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.right += int((preds.argmax(1) == target).sum())
        self.seen += len(target)

    def compute(self) -> Tensor:
        return tensor(self.right / self.seen)


def test_objects_with_torchmetrics_protocol_work_beside_ours(make_learner: Make) -> None:
    learn = make_learner(Metrics(Accuracy(), other=Protocol(), on_train=True))
    learn.fit(1)
    row = learn.history[0]
    assert row["valid_other"] == pytest.approx(row["valid_accuracy"], abs=1e-6)
    assert row["train_other"] == pytest.approx(row["train_accuracy"], abs=1e-6)


def test_torchmetrics_itself(make_learner: Make) -> None:
    torchmetrics = pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
    theirs = torchmetrics.classification.MulticlassAccuracy(num_classes=4, average="micro")
    learn = make_learner(Metrics(Accuracy(), theirs=theirs))
    learn.fit(2)
    for row in learn.history:
        assert row["valid_theirs"] == pytest.approx(row["valid_accuracy"], abs=1e-6)


def test_what_is_no_metric_is_refused() -> None:
    with pytest.raises(UsageError, match="is no metric"):
        Metrics(len)
