"""From a unit back to the pixels: which cells can matter to it, and by how many paths.

A network is taken as a chain of windows (convolutions, pooling). Counting paths is the linearised network run
backwards with every weight 1 and no padding counted. Windows are square, so a count factorises: (paths along
the rows) × (paths along the columns) × (paths through the channels). Each factor is a short tensor for each layer,
and the cells that can matter are those where no factor is 0.

Glossary: k, s, p kernel, stride and padding of a layer; r, j, start the size of its receptive field, its jump and
the centre of its first unit's field, in pixels (Dumoulin and Visin, 2016; Araujo et al., 2019):
r = r' + (k − 1)·j', j = j'·s, start = start' + ((k − 1)/2 − p)·j' with ' for the layer before, and 1, 1, 0 for the pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sheetconv.graph.expr import Aggregate, Binary, Entry, Expr, as_expr, call
from sheetconv.graph.index import Var
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.ops.compare import holds
from sheetconv.ops.pool import windows_with
from sheetconv.pages.pieces import count

if TYPE_CHECKING:
    from torch import nn

    from sheetconv.sheet.draft import Maker


@dataclass(frozen=True)
class Layer:
    """One grid of units: `channels` × `size` × `size`, made from the grid before by windows."""

    name: str
    size: int
    channels: int
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    mixes: bool = True
    """Whether each channel reads all channels before it (a convolution), or only its own (pooling)."""


def spatial(module: nn.Module) -> nn.Sequential:
    """The layers of a network as far as it has grids: before it flattens, or its first dense layer."""
    from torch import nn

    leaves: list[nn.Module] = []
    for leaf in module.modules():
        if isinstance(leaf, nn.Flatten | nn.Linear):
            break
        if not list(leaf.children()):
            leaves.append(leaf)
    return nn.Sequential(*leaves)


def layers_of(net: nn.Sequential, shape: tuple[int, int, int]) -> list[Layer]:
    """The grids of a chain of layers, the input first, for an input of `shape` (C, H, W) with H = W.

    Raises `ModelError` for a layer that is no plain square window.
    """
    import torch
    from torch import nn

    from sheetconv.errors import ModelError

    found = [Layer("input", shape[1], shape[0])]
    x = torch.zeros(1, *shape)
    for layer in net:
        with torch.no_grad():
            x = layer.cpu()(x)
        if not isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            continue
        options = [
            _square(getattr(layer, name, 1)) for name in ("kernel_size", "stride", "padding", "dilation")
        ]
        if None in options or options[3] != 1 or getattr(layer, "groups", 1) != 1 or x.shape[2] != x.shape[3]:
            raise ModelError(f"{layer} is no plain square window, so its paths cannot be counted here")
        k, s, p, _ = options
        mixes = isinstance(layer, nn.Conv2d)
        kind = "conv" if mixes else "pool"
        number = sum(f.name.startswith(kind) for f in found) + 1
        found.append(Layer(f"{kind}{number}", x.shape[2], x.shape[1], k or 1, s or 1, p or 0, mixes))
    return found


def _square(value: Any) -> int | None:
    values = set(value) if isinstance(value, tuple) else {value}
    only = values.pop()
    return only if not values and isinstance(only, int) else None


@dataclass
class Choice:
    """The unit that is chosen: layer from 1, the others from 0; `used` is what they are taken as."""

    layer: Tensor
    channel: Tensor
    row: Tensor
    column: Tensor
    used: dict[str, Tensor] = field(default_factory=dict)


class Chain:
    """The tensors of one network that trace a unit back; `name` goes in front of theirs."""

    def __init__(self, maker: Maker, name: str, layers: Sequence[Layer], unit: Sequence[int]) -> None:
        self.maker, self.name, self.layers = maker, name, layers
        self.kernels = self._stored("kernels", [v.kernel for v in layers[1:]])
        self.strides = self._stored("strides", [v.stride for v in layers[1:]])
        self.paddings = self._stored("paddings", [v.padding for v in layers[1:]])
        self.sizes = self._stored("sizes", [v.size for v in layers])
        self.depths = self._stored("depths", [v.channels for v in layers])
        self.choice = self._choice(unit)
        self.number = {
            axis: [
                self._stored(f"{axis} numbers {i}", self._axis(axis, v.size)) for i, v in enumerate(layers)
            ]
            for axis in ("row", "column")
        }
        self.rows = self._counts("row")
        self.columns = self._counts("column")
        self.channels = self._channel_counts()
        self.field = self._recurrence()

    def _stored(self, name: str, values: Any) -> Tensor:
        return self.maker.stored(f"{self.name} {name}", values, kind="input")

    @staticmethod
    def _axis(axis: str, size: int) -> Any:
        return np.arange(size).reshape((1, 1, size, 1) if axis == "row" else (1, 1, 1, size))

    # --- the unit --------------------------------------------------------------------------------------

    def _choice(self, unit: Sequence[int]) -> Choice:
        layer, channel, row, column = (
            self._stored(name, [value]) for name, value in zip(("layer", "channel", "row", "column"), unit, strict=True)
        )  # fmt: skip
        choice = Choice(layer, channel, row, column)
        for name, asked, limits in (
            ("channel", channel, self.depths),
            ("row", row, self.sizes),
            ("column", column, self.sizes),
        ):
            choice.used[name] = self._within(f"{self.name} {name} used", asked, limits, layer)
        return choice

    def _within(self, name: str, asked: Tensor, limits: Tensor, layer: Tensor) -> Tensor:
        """The number asked for, or the layer's last where it has fewer."""
        i = Var("i", len(self.layers) - 1)
        here = Operation("aten.add.Scalar", (layer, 1))  # the first limit is the image's
        last = Operation("aten.sub.Scalar", (Operation("choose", (here, limits)), 1))
        return self.maker.made(
            name,
            (1,),
            lambda t: call("MIN", asked.at(0), Entry(limits.at(i + 1), (i,), (layer.at(0),)) - 1),
            Operation("aten.minimum.default", (asked, last)),
        )

    def _here(self, number: int) -> Operation:
        return Operation("aten.eq.Scalar", (self.choice.layer, number))

    def _seed(self, number: int, position: Expr, used: Tensor) -> Expr:
        """1 at the chosen unit of this layer, where `position` is the number that is used; 0 elsewhere."""
        equal = holds("=", position, used.at(0))
        return call("IF", Binary("=", self.choice.layer.at(0), as_expr(number)), equal, 0)

    # --- paths -----------------------------------------------------------------------------------------

    def _counts(self, axis: str) -> list[Tensor]:
        """Paths along one axis from each row or column of each layer to the unit, (1, 1, H, 1) or (1, 1, 1, W)."""
        used = self.choice.used[axis]
        found: list[Tensor] = []
        for number in reversed(range(len(self.layers))):
            position = self.number[axis][number]
            marked = Operation(
                "aten.mul.Tensor", (self._here(number), Operation("aten.eq.Tensor", (position, used)))
            )
            later = found[-1] if found else None
            options = self._window(axis, number + 1) if later else None

            def formula(t: Tensor, number: int = number, position: Tensor = position, later: Any = later,
                        options: Any = options) -> Expr:  # fmt: skip
                seed = self._seed(number, position.at(*t.axes), used) if number else None
                if later is None:
                    return seed or as_expr(0)
                spread = windows_with(later, t, *options)
                return spread if seed is None else seed + spread

            operation = marked
            if later is not None:
                back = Operation(
                    "aten.avg_pool2d_backward.default",
                    (later, position, *(list(o) for o in options or ()), False, True, 1),
                )
                operation = Operation("aten.add.Tensor", (back, marked)) if number else back
            name = f"{self.name} {axis} paths {number}"
            found.append(self.maker.made(name, position.shape, formula, operation, signed=False))
        return found[::-1]

    def _window(self, axis: str, number: int) -> tuple[tuple[int, int], ...]:
        layer = self.layers[number]
        pair = ((layer.kernel, 1), (layer.stride, 1), (layer.padding, 0))
        return pair if axis == "row" else tuple((b, a) for a, b in pair)

    def _channel_counts(self) -> list[Tensor]:
        """Paths through the channels from each channel of each layer to the unit's, (1, C, 1, 1)."""
        used = self.choice.used["channel"]
        found: list[Tensor] = []
        for number in reversed(range(len(self.layers))):
            layer = self.layers[number]
            later = found[-1] if found else None
            mixes = later is not None and self.layers[number + 1].mixes
            channels = [Operation("aten.eq.Scalar", (used, c)) for c in range(layer.channels)]
            marked = Operation(
                "aten.reshape.default",
                (
                    Operation(
                        "aten.mul.Tensor", (self._here(number), Operation("aten.cat.default", (channels, 0)))
                    ),
                    [1, layer.channels, 1, 1],
                ),
            )

            def formula(t: Tensor, number: int = number, later: Any = later, mixes: bool = mixes) -> Expr:
                total: Expr | None = None
                if number:
                    total = self._seed(number, count(t.axes[1]), used)
                if later is not None:
                    c = Var("c", later.shape[1])
                    every = Aggregate("SUM", (later.at(0, c, 0, 0),), (c,))
                    before = every if mixes else later.at(0, t.axes[1], 0, 0)
                    total = before if total is None else total + before
                assert total is not None
                return total

            operation = marked
            if later is not None:
                summed = Operation("aten.sum.dim_IntList", (later, [1], True)) if mixes else later
                shape = [1, layer.channels, 1, 1]
                back = Operation("aten.expand.default", (summed, shape))
                operation = Operation("aten.add.Tensor", (back, marked)) if number else back
            found.append(
                self.maker.made(
                    f"{self.name} channel paths {number}", (1, layer.channels, 1, 1), formula, operation,
                    signed=False,
                )
            )  # fmt: skip
        return found[::-1]

    def paths(self, number: int) -> Tensor:
        """Paths in space from each cell of a layer to the unit, (1, 1, H, W): rows × columns."""
        rows, columns = self.rows[number], self.columns[number]
        size = self.layers[number].size
        return self.maker.made(
            f"{self.name} paths {number}",
            (1, 1, size, size),
            lambda t: rows.at(0, 0, t.axes[2], 0) * columns.at(0, 0, 0, t.axes[3]),
            Operation("aten.mul.Tensor", (rows, columns)),
            signed=False,
        )

    # --- the recurrence --------------------------------------------------------------------------------

    def _recurrence(self) -> dict[str, list[Tensor]]:
        """Size, jump and start of each layer, one cell each, the pixels first."""
        note = self.maker.note
        first = {"size": 1, "jump": 1, "start": 0}
        found = {
            key: [note(f"{self.name} {key} 0", (1,), always(as_expr(value)))] for key, value in first.items()
        }
        for i in range(len(self.layers) - 1):
            r, j, start = (found[key][-1].at(0) for key in ("size", "jump", "start"))
            k, s, p = (t.at(i) for t in (self.kernels, self.strides, self.paddings))
            for key, expr in (
                ("size", r + (k - 1) * j),
                ("jump", j * s),
                ("start", start + ((k - 1) / 2 - p) * j),
            ):
                found[key].append(note(f"{self.name} {key} {i + 1}", (1,), always(expr)))
        return found

    def seen(self, axis: str) -> tuple[Tensor, Tensor]:
        """First and last row or column of the input that the unit sees, by the recurrence, cut at the borders."""
        layer = self.choice.layer.at(0)
        r, j, start = (
            call("CHOOSE", layer, *(t.at(0) for t in self.field[key][1:]))
            for key in ("size", "jump", "start")
        )
        centre, half = start + self.choice.used[axis].at(0) * j, (r - 1) / 2
        last = self.layers[0].size - 1
        note = self.maker.note
        return (
            note(f"{self.name} first {axis}", (1,), lambda t: call("MAX", 0, centre - half)),
            note(f"{self.name} last {axis}", (1,), lambda t: call("MIN", last, centre + half)),
        )


def always(expr: Expr) -> Callable[[Tensor], Expr]:
    """A formula that is the same in every cell."""
    return lambda t: expr
