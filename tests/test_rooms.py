"""The house: imports between rooms point one way, no modules in a circle, no class name that means two things."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

import sheetconv

HOUSE = Path(sheetconv.__file__).parent
# From the ground up; rooms in one line know nothing of each other's order.
STOREYS = (
    ("errors", "files", "_guard", "child"),
    ("graph",),
    ("ops",),
    ("compile",),
    ("xlsx",),
    ("engines",),
    ("nets",),
    ("data",),
    ("sheet",),
    ("models", "published"),
    ("train", "notebook"),
    ("pages", "template"),
    ("formulas",),
    ("prove",),
    ("back",),
    ("building",),
    ("inspect",),
    ("api",),
    ("cli", "__main__"),
)


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in HOUSE.rglob("*.py"):
        name = ".".join(("sheetconv", *path.relative_to(HOUSE).with_suffix("").parts))
        found[name.removesuffix(".__init__")] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imported(tree: ast.Module, *, types_too: bool = False) -> set[str]:
    """Modules of the package that a module imports, inside functions too; for annotations alone only if asked."""
    found = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not types_too:
            waiting.extend(node.orelse)
            continue
        waiting.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sheetconv":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in modules() else str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in modules()}
    return found


def test_imports_point_upwards() -> None:
    height = {room: level for level, rooms in enumerate(STOREYS) for room in rooms}
    down = {
        (name, other)
        for name, tree in modules().items()
        for other in imported(tree)
        if name.count(".") and other.count(".") and height[name.split(".")[1]] < height[other.split(".")[1]]
    }
    assert sorted(down) == []


def test_no_modules_in_a_circle() -> None:
    reach = {name: imported(tree) - {name} for name, tree in modules().items()}
    state: dict[str, int] = {}
    circles = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if state.get(name) == 2:
            return
        if state.get(name) == 1:
            circles.append((*path[path.index(name) :], name))
            return
        state[name] = 1
        for other in sorted(reach[name]):
            visit(other, (*path, name))
        state[name] = 2

    for name in reach:
        visit(name, ())
    assert circles == []


def test_no_class_name_means_two_things() -> None:
    places = defaultdict(set)
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].add(name)
    assert {name: sorted(where) for name, where in places.items() if len(where) > 1} == {}


@pytest.mark.parametrize("room", [room for rooms in STOREYS for room in rooms])
def test_every_room_is_there(room: str) -> None:
    assert f"sheetconv.{room}" in modules()
