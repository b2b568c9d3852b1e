"""The template `optimisers`: every row of every page against torch.optim, with the yellow cells as they are and changed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sheetconv.data.pick import pick
from sheetconv.pages import kinds
from sheetconv.prove.verify import verify
from sheetconv.sheet.draft import Draft
from sheetconv.template import load

PAGES = ("SGD", "Momentum", "Nesterov", "RMSProp", "Adam", "AdamW", "Annealing", "One-cycle")
OTHER = {"rate": 0.037, "momentum": 0.71, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3, "decay": 0.3}


@pytest.fixture(scope="module")
def draft() -> Draft:
    template = load("optimisers")
    draft = Draft(pick("builtin", "train", 0, None, None), template.texts, template.title)
    draft.pages = [kinds()[settings.kind](draft, settings) for settings in template.page]
    for page in draft.pages:
        page.build()
    return draft


def optimiser(page, values, w):
    """torch's own optimiser and schedule for the page's settings."""
    steps = page.options["steps"]
    rate, momentum = values["rate"], values.get("momentum", 0)
    betas = (values.get("beta1"), values.get("beta2"))
    made = {
        "sgd": lambda: torch.optim.SGD([w], rate),
        "momentum": lambda: torch.optim.SGD([w], rate, momentum=momentum),
        "nesterov": lambda: torch.optim.SGD([w], rate, momentum=momentum, nesterov=True),
        "rmsprop": lambda: torch.optim.RMSprop([w], rate, alpha=betas[1], eps=values["epsilon"]),
        "adam": lambda: torch.optim.Adam([w], rate, betas=betas, eps=values["epsilon"]),
        "adamw": lambda: torch.optim.AdamW(
            [w], rate, betas=betas, eps=values["epsilon"], weight_decay=values["decay"]
        ),
    }[page.options["update"]]()
    schedule = {
        "constant": lambda: torch.optim.lr_scheduler.LambdaLR(made, lambda _: 1.0),
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(made, steps),
        "one-cycle": lambda: torch.optim.lr_scheduler.OneCycleLR(
            made, rate, steps, base_momentum=momentum * 0.85 / 0.95, max_momentum=momentum
        ),
    }[page.options["schedule"]]()
    return made, schedule


def torch_path(page, values, start, loss):
    """The parameters before every step and after the last, and the losses."""
    w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    made, schedule = optimiser(page, values, w)
    path, losses = [w.detach().clone()], []
    for step in range(page.options["steps"]):
        made.zero_grad()
        value = loss(w, step)
        value.backward()
        made.step()
        schedule.step()
        path.append(w.detach().clone())
        losses.append(value.detach())
    return torch.stack(path).numpy(), torch.stack(losses).numpy()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("changed", [False, True])
def test_every_row_is_torchs(draft: Draft, name: str, changed: bool) -> None:
    page = next(p for p in draft.pages if p.name == name)
    rng = np.random.default_rng(3)
    if changed:
        for key, cell in page.settings_cells.items():
            draft.stored[cell] = np.array([OTHER[key]])
        x, y = (page.problems[0].cells[k][0] for k in ("x", "y"))
        draft.stored[x], draft.stored[y] = rng.normal(size=(2, *x.shape))
    draft.known.clear()
    values = draft.compute()
    given = {key: float(values[cell][0]) for key, cell in page.settings_cells.items()}
    x, y = (torch.from_numpy(values[page.problems[0].cells[k][0]]) for k in ("x", "y"))
    slopes = torch.from_numpy(values[page.slopes])
    problems = {
        "regression": lambda w, step: (w[0] * x[step] + w[1] - y[step]) ** 2,
        "valley": lambda w, step: (slopes * w * w).sum() / 2,
    }
    for problem in page.problems:
        found = np.array([values[t] for t in problem.cells["w"]])
        path, losses = torch_path(page, given, found[0], problems[problem.name])
        scale = np.abs(path).max()
        assert np.abs(found - path).max() <= 1e-12 * scale
        ours = np.array([values[t][0] for t in problem.cells["loss"]])
        np.testing.assert_allclose(ours, losses, rtol=1e-11, atol=1e-12 * np.abs(losses).max())
        assert np.abs(np.diff(found, axis=0)).min(0).max() > 0  # it moves


def test_one_page_proves(tmp_path: Path) -> None:
    """The formulas in the file give the same numbers: one page of the largest optimiser and one with a schedule."""
    from sheetconv.building import Request, build

    path = tmp_path / "optimisers.xlsx"
    build(
        Request(
            path, template="optimisers", pages="AdamW,One-cycle", dataset="builtin", index=0, verify=False
        )
    )
    assert verify(path).agrees
