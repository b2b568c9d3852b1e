"""The right switches for this network on this machine, chosen by a short timing and said.

Threads: on a busy machine two threads that wait for each other can be tens of times slower than one. bf16 and
channels-last: twice as fast on some networks, nothing on others. Winograd's convolutions: up to twice as fast on a
CPU, by the number of channels. So each is tried, on a copy of the network.
"""

from __future__ import annotations

import copy
import os
import statistics
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sheetconv.train.devices import lacks, map_tensors, to_device, wait_for
from sheetconv.train.extras.winograd import exchange, suits
from sheetconv.train.state import random_kept

WORTH_LOW_PRECISION = 1.2  # how many times faster bf16 with channels-last must be
WORTH_THREADS = 1.1
WORTH_WINOGRAD = 1.05

Steps = Callable[..., Callable[[], None]]  # a step to time, in the way that `one_step`'s keywords say


@dataclass
class Switches:
    """What was chosen: `threads` (None on devices that need none), `low_precision` for bf16 with channels-last, `winograd`
    for Winograd's convolutions.

    `lines` say so for each switch (threads, amp, convolutions), with the figures that led there.
    """

    threads: int | None = None
    low_precision: bool = False
    winograd: bool = False
    lines: dict[str, str] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """The same as values of the options `threads`, `amp` and `convolutions`."""
        return {
            "threads": self.threads,
            "amp": "bf16" if self.low_precision else "off",
            "convolutions": "winograd" if self.winograd else "torch",
        }


def choose_switches(
    model: nn.Module,
    batch: tuple[Tensor, Any],
    loss_func: Callable[..., Tensor],
    device: torch.device,
    seconds: float = 1.5,
    decide: Collection[str] = ("threads", "amp", "convolutions"),
) -> Switches:
    """Time forward and backward passes of `batch` for about `seconds`, and set torch's threads accordingly.

    Only the switches in `decide` are tried; Winograd's convolutions where bf16 was not chosen.

    The model, its gradients and all random states are left as they were. On the CPU the candidates are one
    thread and as many as the process may use (or `OMP_NUM_THREADS` allows); bf16 is tried on every device
    but MPS, Winograd's convolutions on the CPU where layers are suited and computed in float32.
    """
    chosen = Switches()
    with random_kept(), torch.enable_grad():
        batch = to_device(batch, device)
        whole = partial(one_step, model, *batch, loss_func, device)
        if {"threads", "amp"} & set(decide):
            short = partial(one_step, model, *_short(model, *batch, loss_func, device), loss_func, device)
            if device.type == "cpu" and "threads" in decide:
                _threads(chosen, short(), seconds / 2)
            if not lacks(device, "bf16 trial") and "amp" in decide:
                _precision(chosen, short, seconds / 2)
        exact = device.type == "cpu" and not chosen.low_precision
        if exact and "convolutions" in decide and any(map(suits, model.modules())):
            _convolutions(chosen, whole, seconds / 2)
    return chosen


def one_step(
    model: nn.Module,
    x: Tensor,
    y: Any,
    loss_func: Callable[..., Tensor],
    device: torch.device,
    *,
    low: bool = False,
    channels_last: bool = False,
    winograd: bool = False,
) -> Callable[[], None]:
    """One forward and backward pass of a copy of the model, waited for."""
    own = copy.deepcopy(model).to(device).train()
    if winograd:
        exchange(own)
    if channels_last:
        own.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x

    def run() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            preds = own(x)
        loss_func(map_tensors(lambda t: t.float() if t.is_floating_point() else t, preds), y).backward()
        own.zero_grad()
        wait_for(device)

    return run


def available_threads() -> int:
    """Processors that this process may use, or fewer where `OMP_NUM_THREADS` says so."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wish = os.environ.get("OMP_NUM_THREADS", "")
    return min(count, int(wish)) if wish.isdecimal() and int(wish) > 0 else count


def _threads(chosen: Switches, step: Callable[[], None], seconds: float) -> None:
    most = available_threads()
    chosen.threads = 1
    if most > 1:
        runs = {count: _with_threads(step, count) for count in (1, most)}
        one, many = interleaved(runs[1], runs[most], seconds)
        faster = one / many
        chosen.threads = most if faster >= WORTH_THREADS else 1
        chosen.lines["threads"] = (
            f"threads: {chosen.threads} ({most} would be {faster:.2f} times as fast as 1)"
            if chosen.threads == 1
            else f"threads: {most} ({faster:.2f} times as fast as 1)"
        )
    else:
        chosen.lines["threads"] = "threads: 1 (no more are available)"
    torch.set_num_threads(chosen.threads)


def _with_threads(step: Callable[[], None], count: int) -> Callable[[], None]:
    def run() -> None:
        torch.set_num_threads(count)
        step()

    return run


def _precision(chosen: Switches, step: Steps, seconds: float) -> None:
    try:
        plain, half = interleaved(step(), step(low=True, channels_last=True), seconds)
    except (RuntimeError, NotImplementedError) as error:
        chosen.lines["amp"] = (
            f"precision: float32 (bf16 does not run here: {str(error).splitlines()[0][:80]})"
        )
        return
    faster = plain / half
    chosen.low_precision = faster >= WORTH_LOW_PRECISION
    name = "bf16 and channels-last" if chosen.low_precision else "float32"
    chosen.lines["amp"] = (
        f"precision: {name} (bf16 with channels-last is {faster:.2f} times as fast;"
        f" worth it from {WORTH_LOW_PRECISION})"
    )


def _convolutions(chosen: Switches, step: Steps, seconds: float) -> None:
    """With the whole batch: transforming the kernels takes the same time for few images as for many."""
    torchs, winograds = step(channels_last=True), step(channels_last=True, winograd=True)
    plain, fast = interleaved(torchs, winograds, seconds, least=3)
    faster = plain / fast
    chosen.winograd = faster >= WORTH_WINOGRAD
    chosen.lines["convolutions"] = (
        f"convolutions: {'by Winograd' if chosen.winograd else 'as torch has them'}"
        f" (Winograd's are {faster:.2f} times as fast; worth it from {WORTH_WINOGRAD})"
    )


def _short(
    model: nn.Module, x: Tensor, y: Any, loss_func: Callable[..., Tensor], device: torch.device
) -> tuple[Tensor, Any]:
    """So much of the batch (16 images at least) that one plain step takes about 0.05 s."""
    few = min(len(x), 16)
    step = one_step(model, x[:few], map_tensors(lambda t: t[:few], y), loss_func, device)
    step()
    n = max(few, min(len(x), int(few * 0.05 / seconds_of(step))))
    return x[:n], map_tensors(lambda t: t[:n], y)


def seconds_of(run: Callable[[], None]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def interleaved(
    first: Callable[[], None], second: Callable[[], None], seconds: float, least: int = 4
) -> tuple[float, float]:
    """Median seconds of both, run in turns for about `seconds`, at least `least` times each, the first not counted.

    Where one is more than four times slower than the other (in its second run already) that is enough.
    """
    first()
    spent = [seconds_of(first)], [seconds_of(second)]
    if spent[1][0] > 0.3 * seconds:  # the first run of a kind may only be slow to set up
        spent[1][0] = seconds_of(second)
    begin = time.perf_counter()
    while len(spent[0]) < least or time.perf_counter() - begin < seconds:
        one, two = (statistics.median(times) for times in spent)
        if max(one, two) > 4 * min(one, two) and (len(spent[0]) > 1 or max(one, two) > 0.3 * seconds):
            break
        if len(spent[0]) >= 50:
            break
        for run, times in zip((first, second), spent, strict=True):
            times.append(seconds_of(run))
    one, two = (statistics.median(times[1:] or times) for times in spent)
    return one, two
