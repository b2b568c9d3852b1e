"""The network as a Python module that a student could have written, with its numbers in a safetensors file."""

from __future__ import annotations

import re

import numpy as np

from sheetconv.errors import WorkbookError
from sheetconv.inspect.recover.network import RecoveredNetwork
from sheetconv.inspect.recover.tensors import RecoveredTensor

_PLAIN = re.compile(r"[^A-Za-z0-9 _.,:!$'×()–-]")
_MOST_AREAS, _MOST_REASONS = 3, 5
_LINE = 110


def arrays(network: RecoveredNetwork) -> dict[str, np.ndarray]:
    """Parameters under their torch names, and inputs (with a batch axis) as ``input.name``."""
    found: dict[str, np.ndarray] = {}
    for tensor in network.layers:
        assert tensor.layer is not None
        for name, values in tensor.layer.parameters.items():
            joint = "." if tensor.layer.module else "_"
            found[f"{tensor.name}{joint}{name}"] = np.ascontiguousarray(values.values(network.cells))
        for name, indices in tensor.layer.indices.items():
            found[f"{tensor.name}_{name}"] = np.ascontiguousarray(indices)
    for tensor in network.inputs:
        found[f"input.{tensor.name}"] = np.ascontiguousarray(network.cells.values(tensor.ids)[None])
    return found


def module_text(network: RecoveredNetwork, book: str) -> str:
    """The source of the module. Raises `WorkbookError` when there is no layer to write."""
    if not network.layers:
        why = "; ".join(f"{u.area} {u.formula[:40]}: {u.reason}" for u in network.unread[:_MOST_REASONS])
        more = len(network.unread) - _MOST_REASONS
        raise WorkbookError(
            f"{book}: no layer was recognised{': ' * bool(why)}{why}{f'; and {more} more' if more > 0 else ''}; "
            "'sheetconv trace' shows what its formulas read"
        )
    inputs = ", ".join(t.name for t in network.inputs)
    last = _last(network)
    result = (
        f'steps["{last[0].name}"]'
        if len(last) == 1
        else "(" + ", ".join(f'steps["{t.name}"]' for t in last) + ")"
    )
    lines = [
        f'"""The network of {_safe(book)}, read back from its formulas by sheetconv recover."""',
        "",
        "from pathlib import Path",
        "",
        "import torch",
        "from safetensors.torch import load_file",
        "from torch import nn",
        *(["from torch.nn import functional as F"] if _uses_functional(network) else []),
        "",
        'NUMBERS = Path(__file__).with_suffix(".safetensors")',
        "",
        "",
        "class Network(nn.Module):",
        '    """Inputs, each with a batch axis N in front:',
        "",
        *(
            f"    {t.name}: {_shape(t)}, {_where(t, network)}{'; ' + t.note if t.note else ''}"
            for t in network.inputs
        ),
        '    """',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *(line for t in network.layers for line in _declared(t)),
        "",
        f"    def steps(self, {inputs}):",
        '        """Output of every layer by name, in the order of computing."""',
        *(line for t in network.layers for line in _step(t, network)),
        f"        return {{{', '.join(f'{chr(34)}{t.name}{chr(34)}: {t.name}' for t in network.layers)}}}",
        "",
        f"    def forward(self, {inputs}):",
        f"        steps = self.steps({inputs})",
        f"        return {result}",
        "",
        "",
        "def load() -> Network:",
        '    """The network with the workbook\'s weights, in double precision as a spreadsheet computes."""',
        "    network = Network().double()",
        '    weights = {k: v for k, v in load_file(NUMBERS).items() if not k.startswith("input.")}',
        "    network.load_state_dict(weights)",
        "    return network.eval()",
        "",
        "",
        "def inputs() -> list[torch.Tensor]:",
        '    """What stands in the workbook\'s input cells."""',
        "    numbers = load_file(NUMBERS)",
        f'    return [numbers[f"input.{{name}}"] for name in {[t.name for t in network.inputs]!r}]',
        "",
        "",
        'if __name__ == "__main__":',
        "    with torch.no_grad():",
        "        print(load()(*inputs()))",
        "",
    ]
    return "\n".join(lines)


def _last(network: RecoveredNetwork) -> list[RecoveredTensor]:
    """Tensors that no layer reads: the network's outputs."""
    read = {id(t) for held in network.layers if held.layer for t in held.layer.inputs}
    return [t for t in network.layers if id(t) not in read] or network.layers[-1:]


def _uses_functional(network: RecoveredNetwork) -> bool:
    return any(t.layer is not None and "F." in t.layer.expression for t in network.layers)


def _declared(tensor: RecoveredTensor) -> list[str]:
    layer = tensor.layer
    assert layer is not None
    if layer.module:
        return [f"        self.{tensor.name} = {layer.module}"]
    return [
        f'        self.register_buffer("{tensor.name}_{name}", torch.zeros({list(values.constant.shape)}))'
        for name, values in layer.parameters.items()
    ] + [
        f'        self.register_buffer("{tensor.name}_{name}", torch.zeros({list(indices.shape)}, dtype=torch.int64))'
        for name, indices in layer.indices.items()
    ]


def _step(tensor: RecoveredTensor, network: RecoveredNetwork) -> list[str]:
    layer = tensor.layer
    assert layer is not None
    code = layer.expression.format(*(t.name for t in layer.inputs), self=f"self.{tensor.name}")
    comment = f"  # {_shape(tensor)}, {_where(tensor, network)}"
    line = f"        {tensor.name} = {code}"
    return [line + comment] if len(line + comment) <= _LINE else [f"        #{comment[3:]}", line]


def _shape(tensor: RecoveredTensor) -> str:
    return "×".join(map(str, tensor.ids.shape))


def _where(tensor: RecoveredTensor, network: RecoveredNetwork) -> str:
    planes = tensor.ids if tensor.spatial else tensor.ids[None]
    spans = []
    for plane in planes[:_MOST_AREAS]:
        areas = network.cells.areas(plane.ravel())
        whole = areas[0]._replace(
            row0=min(a.row0 for a in areas),
            column0=min(a.column0 for a in areas),
            row1=max(a.row1 for a in areas),
            column1=max(a.column1 for a in areas),
        )
        spans.append(str(whole))
    return _safe(" ".join(spans) + (" …" if len(planes) > _MOST_AREAS else ""))


def _safe(text: str) -> str:
    """Letters, digits and plain signs only: a sheet's name is the workbook's own text, not ours."""
    return _PLAIN.sub("_", text.replace(" …", " and more")).replace('"', "_")
