"""Views: which of them need cells of their own, and what their readers read instead of them."""

from __future__ import annotations

from sheetconv.graph.expr import Aggregate, Entry, Read, walk
from sheetconv.graph.index import NotSeparable, Var, split
from sheetconv.graph.tensor import Graph, Tensor, look_through, reach
from sheetconv.graph.windows import directions, through_all

# Feature maps with so many channels may lie interleaved (see `sheetconv.sheet.layout`).
MANY_CHANNELS = 16


def settle_views(graph: Graph) -> None:
    """Let readers look through views where their windows allow it; give the other views cells.

    A view needs cells where a window of it would not be a window of what it shows (rows that were reshaped, say),
    and where it is read beyond its border, where its source may hold other numbers.
    """
    for tensor in graph.tensors:
        if tensor.expr is None or tensor.view:
            continue
        for view in _unreadable(tensor):
            view.view = False
    views = [t for t in graph.tensors if t.view]
    for tensor in graph.tensors if views else ():
        if tensor.expr is not None:
            tensor.expr = look_through(tensor.expr, views)
    for tensor in graph.tensors:
        if tensor.partner is not None:
            tensor.partner = behind(tensor.partner)


def behind(tensor: Tensor) -> Tensor:
    """The tensor with cells that a view looks at, through views of views."""
    while tensor.view and isinstance(tensor.expr, Read):
        tensor = tensor.expr.tensor
    return tensor


def _unreadable(tensor: Tensor) -> list[Tensor]:
    assert tensor.expr is not None
    read = list(dict.fromkeys(e.tensor for e in walk(tensor.expr) if isinstance(e, Read) and e.tensor.view))
    if not read:
        return []
    found = [view for view in read if not _composes(tensor, view)]
    rest = [view for view in read if view not in found]
    return found + (_beyond(tensor, rest) if rest else [])


def _beyond(tensor: Tensor, views: list[Tensor]) -> list[Tensor]:
    """Those of `views` that a cell reads outside their bounds."""
    found = []
    for low, high, source in reach(tensor):
        if source in views and any(a < 0 or b >= s for a, b, s in zip(low, high, source.shape, strict=True)):
            found.append(source)
    return list(dict.fromkeys(found))


def _composes(tensor: Tensor, view: Tensor) -> bool:
    """Whether every window of the view is a window of what lies behind all views, along the other operands."""
    assert tensor.expr is not None
    for read, over, others in _windows(tensor, view):
        resolved = through_all(read)
        try:
            for index in resolved.at:
                split(index, over)
        except NotSeparable:
            return False
        if any(directions(through_all(o), over) != directions(resolved, over) for o in others):
            return False
        if others and _parted(view, resolved, over):
            return False
    return True


def _parted(view: Tensor, resolved: Read, over: tuple[Var, ...]) -> bool:
    """Whether a window over channels takes some of many: these may be interleaved, and then it is no rectangle."""
    source = resolved.tensor
    if len(source.shape) != 4 or source.shape[1] < MANY_CHANNELS or len(view.shape) != 4:
        return False
    return bool(resolved.at[1].variables() & set(over)) and source.shape[1] != view.shape[1]


def _windows(tensor: Tensor, view: Tensor) -> list[tuple[Read, tuple[Var, ...], list[Read]]]:
    assert tensor.expr is not None
    found: list[tuple[Read, tuple[Var, ...], list[Read]]] = []
    for node in walk(tensor.expr):
        if isinstance(node, Aggregate):
            for operand in node.operands:
                if operand.tensor is view:
                    found.append((operand, node.over, [o for o in node.operands if o is not operand]))
        elif isinstance(node, Entry) and node.range.tensor is view:
            found.append((node.range, node.over, []))
    return found
