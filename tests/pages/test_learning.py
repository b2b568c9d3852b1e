"""The page that learns: forty unrolled steps against torch.optim, with its settings as they are and changed."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sheetconv.data.pick import pick
from sheetconv.pages import kinds
from sheetconv.pages.learning import PARAMETERS, Learning
from sheetconv.sheet.draft import Draft
from sheetconv.template import load


@pytest.fixture(scope="module")
def page() -> Learning:
    template = load("lesson")
    settings = next(s for s in template.page if s.kind == "learning")
    draft = Draft(pick("builtin", "train", 0, None, None), template.texts, template.title)
    draft.pages = [kinds()["learning"](draft, settings)]
    draft.pages[0].build()
    return draft.pages[0]


def torch_steps(page: Learning, values) -> tuple[list[dict[str, np.ndarray]], list[float]]:
    """Parameters before every step and after the last, and the loss of all pictures with each."""
    x, y = (torch.from_numpy(values[t]) for t in (page.pixels, page.classes))
    rate, momentum, batch = (float(values[page.settings_cells[k]][0]) for k in ("rate", "momentum", "batch"))
    p = [torch.from_numpy(values[page.history[0][key]].copy()).requires_grad_() for key in PARAMETERS]
    optimiser = torch.optim.SGD(p, rate, momentum=momentum)
    found, losses = [], []
    for step in range(page.steps + 1):
        found.append({k: v.detach().numpy().copy() for k, v in zip(PARAMETERS, p, strict=True)})
        means = torch.relu(F.conv2d(x, p[0], p[1])).mean((2, 3))
        each = F.cross_entropy(F.linear(means, p[2], p[3]), y.argmax(1), reduction="none")
        losses.append(each.mean().item())
        chosen = (np.arange(page.count) - step * batch) % page.count < batch
        optimiser.zero_grad()
        each[torch.from_numpy(chosen)].mean().backward()
        optimiser.step()
    return found, losses


@pytest.mark.parametrize(
    ("rate", "momentum", "batch", "other"),
    [(1.0, 0.0, 16, False), (0.4, 0.9, 4, False), (0.7, 0.5, 5, True), (4.0, 0.0, 16, False)],
)
def test_every_step_is_torchs(page: Learning, rate: float, momentum: float, batch: int, other: bool) -> None:
    draft, rng = page.draft, np.random.default_rng(2)
    for key, value in (("rate", rate), ("momentum", momentum), ("batch", batch)):
        draft.stored[page.settings_cells[key]] = np.array([float(value)])
    if other:  # grey pictures and another start: nothing is 0 or 1 any more
        draft.stored[page.pixels] = rng.random(page.pixels.shape)
        for tensor in page.history[0].values():
            draft.stored[tensor] = rng.normal(0, 0.5, tensor.shape)
    draft.known.clear()
    values = draft.compute()
    steps, losses = torch_steps(page, values)
    for ours, theirs in zip(page.history, steps, strict=True):
        for key in PARAMETERS:
            np.testing.assert_allclose(values[ours[key]], theirs[key], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(values[page.curve], losses, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("step", [0, 7, 19, 20, 39, 40])
def test_the_chosen_step_is_shown(page: Learning, step: int) -> None:
    draft = page.draft
    draft.stored[page.step] = np.array([float(step)])
    draft.known.clear()
    values = draft.compute()
    for key in PARAMETERS:
        np.testing.assert_array_equal(values[page.chosen[key]], values[page.history[step][key]])
    assert values[page.shown.loss][0] == pytest.approx(values[page.curve][step], rel=1e-12)


def test_it_learns_and_too_high_a_rate_does_not(page: Learning) -> None:
    draft = page.draft
    losses = {}
    for rate in (1.0, 4.0):
        for key, value in (("rate", rate), ("momentum", 0.0), ("batch", 16.0)):
            draft.stored[page.settings_cells[key]] = np.array([value])
        template = load("lesson")
        options = next(s for s in template.page if s.kind == "learning").options
        draft.stored[page.history[0]["kernels"]] = options["kernel"][None, None]
        draft.stored[page.history[0]["weights"]] = options["weights"][:, None]
        draft.stored[page.history[0]["kernel bias"]] = np.zeros(1)
        draft.stored[page.history[0]["bias"]] = np.zeros(2)
        from sheetconv.pages.learning import pictures

        draft.stored[page.pixels] = pictures(options["strokes"])[0]
        draft.known.clear()
        values = draft.compute()
        losses[rate] = values[page.curve]
    assert losses[1.0][-1] < 0.1 < 0.6 < losses[4.0][-1]
    assert sum(t.size for t in draft.graph if t.expr is not None) <= 60_000
