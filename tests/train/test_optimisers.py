"""Optimisers by name; Muon against torch's own on matrices, and on kernels against their flattened selves."""

import pytest
import torch
from torch import nn

from sheetconv.errors import UsageError
from sheetconv.train.optimisers import OPTIMISERS, FullMatrixAdam, Muon, optimiser, orthogonal


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_every_optimiser_lowers_a_loss(name: str) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(64, 5), torch.randn(64, 3)
    net = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 3))
    opt = optimiser(name)(net.parameters(), 0.01)
    losses = []
    for _ in range(60):
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        opt.step()
        opt.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.99 * losses[0]


def test_an_unknown_optimiser_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown optimiser 'adamv'; choose one of sgd"):
        optimiser("adamv")


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_on_matrices_is_torch_s_own(nesterov: bool) -> None:
    torch.manual_seed(0)
    start = [torch.randn(6, 4), torch.randn(3, 8), torch.randn(6, 4)]
    ours = [nn.Parameter(p.clone()) for p in start]
    theirs = [nn.Parameter(p.clone()) for p in start]
    settings = {"lr": 0.03, "momentum": 0.9, "nesterov": nesterov, "weight_decay": 0.1}
    pairs = [(Muon(ours, **settings), ours), (torch.optim.Muon(theirs, **settings), theirs)]
    for _ in range(5):
        grads = [torch.randn_like(p) for p in start]
        for opt, params in pairs:
            for p, grad in zip(params, grads, strict=True):
                p.grad = grad.clone()
            opt.step()
    for mine, its, first in zip(ours, theirs, start, strict=True):
        # torch's iterates in bfloat16, ours on the CPU in float32: equal to bfloat16's 3 digits of the step
        assert (mine - its).abs().max() < 0.03 * (its - first).abs().max()


def test_muon_sees_a_kernel_as_a_matrix_and_biases_as_adam_does() -> None:
    torch.manual_seed(0)
    kernel, bias = torch.randn(4, 3, 3, 3), torch.randn(4)
    parameters = [nn.Parameter(kernel.clone()), nn.Parameter(bias.clone())]
    flat = nn.Parameter(kernel.flatten(1).clone())
    alone = nn.Parameter(bias.clone())
    muon = Muon(parameters, lr=0.02, adam_ratio=0.5)
    other = Muon([flat], lr=0.02)
    adam = torch.optim.Adam([alone], lr=0.01, betas=(0.9, 0.95), eps=1e-7)
    for _ in range(4):
        parameters[0].grad, parameters[1].grad = torch.randn_like(kernel), torch.randn_like(bias)
        flat.grad, alone.grad = parameters[0].grad.flatten(1).clone(), parameters[1].grad.clone()
        for opt in (muon, other, adam):
            opt.step()
    assert torch.allclose(parameters[0].flatten(1), flat, atol=1e-7)
    assert torch.allclose(parameters[1], alone, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 5, 9), (3, 9, 5), (1, 4, 4)])
def test_orthogonal_brings_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(*shape, dtype=torch.float64)).double())
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_orthogonal_is_the_iteration_on_the_matrices_themselves() -> None:
    """In float64, for rows of very different size as well."""
    torch.manual_seed(0)
    matrices = torch.randn(2, 20, 90) * torch.logspace(0, -6, 20)[:, None]
    x = matrices.double() / matrices.double().norm(dim=(1, 2), keepdim=True)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    torch.testing.assert_close(orthogonal(matrices).double(), x, atol=2e-6, rtol=0)


def test_full_matrix_adam_does_not_mind_correlated_inputs() -> None:
    """Linear regression whose inputs vary a hundred times more along some slanted directions than along others."""
    torch.manual_seed(0)
    turn, _ = torch.linalg.qr(torch.randn(12, 12))
    mix = torch.diag(torch.logspace(0, -2, 12)) @ turn
    wanted = torch.randn(12, 1)

    def left(opt_func: type[torch.optim.Optimizer]) -> float:
        torch.manual_seed(1)
        net = nn.Linear(12, 1, bias=False)
        opt = opt_func(net.parameters(), lr=0.03)  # type: ignore[call-arg]
        for number in range(600):
            opt.param_groups[0]["lr"] = 0.03 * (1 - number / 600)
            x = torch.randn(64, 12) @ mix
            loss = nn.functional.mse_loss(net(x), x @ wanted)
            opt.zero_grad()
            loss.backward()
            opt.step()
        return nn.functional.mse_loss(net.weight[0], wanted[:, 0]).item()

    assert left(FullMatrixAdam) < 0.1 * left(torch.optim.Adam)


def test_full_matrix_adam_refuses_large_networks() -> None:
    with pytest.raises(UsageError, match="takes up to 4,000, not 7,850"):
        FullMatrixAdam(nn.Linear(784, 10).parameters())
