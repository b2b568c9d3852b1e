"""Images left out because they are easy, and mirrored every other epoch."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sheetconv.errors import TrainingError, UsageError
from sheetconv.train.callback import Callback
from sheetconv.train.callbacks.checkpoint import Checkpoint
from sheetconv.train.callbacks.flip import AlternatingFlip
from sheetconv.train.callbacks.metrics import Metrics
from sheetconv.train.callbacks.predict import capture_preds
from sheetconv.train.callbacks.schedule import Schedule, linear_down
from sheetconv.train.extras.skip import SkipEasy, probabilities
from sheetconv.train.learner import Learner
from sheetconv.train.loaders import DataLoaders, ResidentLoader

Make = Callable[..., Learner]


class Watch(Callback):
    """Notes rows, losses and learning rates of each training epoch."""

    order = 900

    def before_fit(self, learn: Learner) -> None:
        self.rows: list[list[int]] = []
        self.rates: list[list[float]] = []
        self.images: list[dict[int, torch.Tensor]] = []

    def before_epoch(self, learn: Learner) -> None:
        if learn.training:
            for kept in (self.rows, self.rates):
                kept.append([])
            self.images.append({})

    def after_step(self, learn: Learner) -> None:
        rows = learn.dls.train.rows.tolist()
        self.rows[-1] += rows
        self.rates[-1].append(learn.opt.param_groups[0]["lr"])
        self.images[-1] |= dict(zip(rows, learn.batch[0], strict=True))


def test_rows_name_the_images_of_the_batch(make_learner: Make) -> None:
    loader = make_learner(n_train=33).dls.train
    seen = []
    for x, y in loader:
        assert torch.equal(x, loader.pixels(loader.images[loader.rows]))
        assert torch.equal(y, loader.labels[loader.rows])
        seen += loader.rows.tolist()
    assert len(set(seen)) == 32  # a last batch of one is left out


def test_chosen_images_alone_are_served(make_learner: Make) -> None:
    loader = make_learner(n_train=40).dls.train
    loader.choose(torch.tensor([3, 5, 8, 13]))
    assert (loader.n_images, len(loader)) == (4, 1)
    (batch,) = loader
    assert sorted(loader.rows.tolist()) == [3, 5, 8, 13]
    assert len(batch[0]) == 4
    loader.choose(None)
    assert loader.n_images == 40
    with pytest.raises(TrainingError, match="no image was chosen"):
        loader.choose(torch.tensor([], dtype=torch.int64))
    loader.shard(0, 2)
    with pytest.raises(UsageError, match="one process only"):
        loader.choose(torch.tensor([1]))


def test_easy_images_are_skipped_more_often_than_others(make_learner: Make) -> None:
    skip, watch = SkipEasy(0.6), Watch()
    learn = make_learner(Metrics(), skip, watch, n_train=1000, lr=0.05)
    known: list[torch.Tensor] = []

    class Keep(Callback):
        def after_epoch(self, learn: Learner) -> None:
            if learn.training:
                known.append(skip.slopes.clone())

    learn.fit(3, cbs=[Keep()])
    assert sorted(watch.rows[0]) == list(range(1000))
    for epoch in (1, 2):
        slopes, rows = known[epoch - 1], set(watch.rows[epoch])
        chances = probabilities(slopes, 0.4)
        stay = torch.tensor([row in rows for row in range(1000)])
        assert float(stay.float().mean()) == pytest.approx(0.4, abs=0.065)
        assert (~stay[chances == 1]).sum() <= 1  # a last batch of one is left out
        middle = slopes.median()
        assert stay[slopes > middle].float().mean() > stay[slopes < middle].float().mean() + 0.1
    assert learn.dls.train.n_images == 1000


def test_probabilities_have_the_mean_asked_for() -> None:
    slopes = torch.rand(5000).square() * 3e-4
    chances = probabilities(slopes, 0.5)
    assert float(chances.mean()) == pytest.approx(0.5, abs=1e-4)
    assert float(chances.min()) == pytest.approx(0.15)
    between = (chances > 0.1501) & (chances < 1)
    factors = chances[between] / slopes[between]
    assert torch.allclose(factors, factors[0].expand_as(factors), rtol=1e-4)
    assert float(probabilities(slopes, 0.1).min()) == pytest.approx(0.05)
    unseen = torch.tensor([torch.inf, 0.0, 0.0, 0.0])
    assert probabilities(unseen, 0.5).tolist() == pytest.approx([1, 0.15, 0.15, 0.15])


def test_the_slope_is_that_of_the_image_s_own_loss() -> None:
    """Softmax less the target, by the formula; the learning rate is 0, so the network stays as it is."""
    images, labels = torch.randint(0, 255, (64, 8, 8), dtype=torch.uint8), torch.randint(0, 4, (64,))
    loader = ResidentLoader(images, labels, 16, shuffle=True)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4))
    skip = SkipEasy()
    Learner(net, DataLoaders(loader), torch.nn.functional.cross_entropy, 0.0, [skip]).fit(1)
    with torch.no_grad():
        chances = net(loader.pixels(images)).softmax(1)
    wanted = (chances - torch.nn.functional.one_hot(labels, 4)).norm(dim=1)
    assert skip.slopes is not None
    assert torch.allclose(skip.slopes, wanted, atol=1e-5)


def test_the_weighted_loss_is_that_of_all_images_on_average(make_learner: Make) -> None:
    learn = make_learner(n_train=4000, lr=0.0)
    seen: list[float] = []

    class Sum(Callback):
        def before_epoch(self, learn: Learner) -> None:
            self.sum = 0.0

        def after_loss(self, learn: Learner) -> None:
            if learn.training:
                self.sum += float(learn.loss.detach()) * len(learn.batch[0])

        def after_epoch(self, learn: Learner) -> None:
            if learn.training:
                seen.append(self.sum)

    learn.model[4].p = 0.0
    learn.fit(2, valid=False, cbs=[SkipEasy(0.5), Sum()])
    assert seen[1] == pytest.approx(seen[0], rel=0.03)


def test_a_shorter_epoch_takes_the_schedule_as_far(make_learner: Make) -> None:
    watch = Watch()
    make_learner(SkipEasy(0.8), Schedule(linear_down()), watch, n_train=800, lr=0.1).fit(4)
    counts = [len(rates) for rates in watch.rates]
    assert counts[0] == 50
    assert max(counts[1:]) < 45
    for epoch, rates in enumerate(watch.rates):
        assert rates[0] == pytest.approx(0.1 * (1 - epoch / 4), abs=0.1 / 100)
    assert watch.rates[-1][-1] < min(0.1 / 40, 1.01 * 0.1 / 4 / counts[-1])  # the last step's share


def test_a_resumed_run_skips_what_an_unbroken_one_skips(make_learner: Make, tmp_path: Path) -> None:
    def run(name: str, *more: Callback, resume: bool = False) -> Learner:
        (tmp_path / name).mkdir(exist_ok=True)
        cbs = [
            SkipEasy(),
            AlternatingFlip(),
            Schedule(linear_down()),
            Checkpoint(tmp_path / name, resume=resume),
        ]
        learn = make_learner(Metrics(), *cbs, *more)
        learn.fit(4)
        return learn

    class Break(Callback):
        def after_step(self, learn: Learner) -> None:
            if learn.epoch == 2 and learn.iter == 1:
                raise KeyboardInterrupt

    unbroken = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("broken", Break())
    torch.rand(7)
    assert run("broken", resume=True).history == unbroken.history


def test_each_image_is_mirrored_every_other_epoch(make_learner: Make) -> None:
    watch = Watch()
    learn = make_learner(AlternatingFlip(seed=4), watch, n_train=200)
    learn.fit(3)
    loader = learn.dls.train
    first, second, third = watch.images
    plain = loader.pixels(loader.images)
    mirrored = [bool(torch.equal(first[row], plain[row].flip(2))) for row in sorted(first)]
    assert 60 < sum(mirrored) < 140
    for row in first:
        assert torch.equal(first[row], third[row])
        assert torch.equal(first[row], second[row].flip(2))
        assert any(torch.equal(first[row], x) for x in (plain[row], plain[row].flip(2)))


def test_predictions_are_of_images_as_they_are(make_learner: Make) -> None:
    learn = make_learner(AlternatingFlip(), SkipEasy())
    learn.fit(1)
    x, y = learn.dls.valid.sample(50)
    with torch.no_grad():
        wanted = learn.model.eval()(x)
    assert torch.allclose(capture_preds(learn, [(x, y)]).preds, wanted)


def test_what_they_cannot_work_with_is_refused(make_learner: Make) -> None:
    data = [(torch.randn(4, 1, 8, 8), torch.randint(0, 4, (4,)))]
    for callback in (SkipEasy(), AlternatingFlip()):
        learn = make_learner(callback)
        learn.dls = DataLoaders(data)
        with pytest.raises(UsageError, match="ResidentLoader"):
            learn.fit(1)
    with pytest.raises(UsageError, match="below 1"):
        SkipEasy(1.0)


def test_an_autoencoder_s_loss_is_a_mean_over_pixels() -> None:
    images = torch.randint(0, 255, (64, 8, 8), dtype=torch.uint8)
    loader = ResidentLoader(images, torch.zeros(64, dtype=torch.int64), 16, shuffle=True, target="image")
    net = torch.nn.Conv2d(1, 1, 3, padding=1)
    skip = SkipEasy()
    Learner(net, DataLoaders(loader), torch.nn.functional.mse_loss, 0.0, [skip]).fit(1)
    x = loader.pixels(loader.images)
    with torch.no_grad():
        wanted = (2 / 64 * (net(x) - x)).flatten(1).norm(dim=1)
    assert torch.allclose(skip.slopes, wanted, atol=1e-6)
