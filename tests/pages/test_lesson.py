"""The lesson's workbook: proven, driven by its selectors, traced, linked; its figures and its texts."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pages.audit import audit
from pages.lesson_book import SHARED, TESTED_PAGES, LessonBook
from torch import nn
from torch.nn import functional as F

from sheetconv.data.pick import pick
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.precedents import cells, trace
from sheetconv.formulas.source import Source
from sheetconv.graph.tensor import Tensor
from sheetconv.models import load_model, shipped
from sheetconv.pages.workbook import part, write_pages
from sheetconv.prove.verify import verify
from sheetconv.template import load
from sheetconv.xlsx.address import cell

LESSON = load("lesson")
PAGES = [page.name for page in LESSON.page]
MINE = TESTED_PAGES.split(",")
Audited = dict[str, list[dict[str, Any]]]


@pytest.mark.parametrize("engine", ["ironcalc", "formualizer"])
def test_every_number_that_mirrors_torch_is_proven(lesson: LessonBook, engine: str) -> None:
    report = verify(lesson.path, engine)
    assert report.agrees, report.verdict()
    assert report.largest <= 1e-12
    assert {c.worst.rpartition("!")[0].strip("'") for c in report.computed} >= set(MINE) - {
        "Contents",
        "Digits",
    }
    assert sum(c.cells for c in report.computed) > 19_000


@pytest.fixture(scope="session")
def audited(lesson: LessonBook) -> Audited:
    """Everything that is asked of LibreOffice, in one session: {question: what each of its steps gave}."""
    questions = {
        "values": [{"formulas": [[s, f"={cell(r, c)}"] for s, r, c, _ in formulas(lesson)]}],
        "trace": [{"cells": [[s, r, c] for _, s, r, c in one_of_each(lesson)]}],
        "selectors": [s.step for s in selector_steps(lesson)],
        "windows": [s.step for s in window_steps(lesson)],
        "labels": label_steps(lesson),
    }
    done = iter(audit(lesson.path, [step for steps in questions.values() for step in steps]))
    return {name: [next(done) for _ in steps] for name, steps in questions.items()}


@pytest.mark.libreoffice
def test_all_formulas_keep_their_values_in_libreoffice(lesson: LessonBook, audited: Audited) -> None:
    """Notes are no part of the proof; every formula's cached value is what LibreOffice computes."""
    wanted = formulas(lesson)
    assert len(wanted) > 20_000
    found = audited["values"][0]["formulas"]
    for (sheet, row, col, cached), value in zip(wanted, found, strict=True):
        if isinstance(cached, str):
            assert value == cached, (sheet, row, col)
        else:
            assert value == pytest.approx(cached, rel=1e-11, abs=1e-12), (sheet, row, col)


def formulas(lesson: LessonBook) -> list[tuple[str, int, int, Any]]:
    """Sheet, row, column and cached value of every formula."""
    sheets = {name: lesson.cells(name) for name in lesson.sheets}
    return [(s, r, c, cells.value(r, c)) for s, cells in sheets.items() for r, c, _ in cells.formula_cells()]


def test_it_is_small(lesson: LessonBook) -> None:
    assert lesson.path.stat().st_size < 3_000_000


# --- the lesson's figures ------------------------------------------------------------------------------


@pytest.mark.shared_data
def test_top_edge_of_the_lessons_digit(lesson: LessonBook) -> None:
    assert lesson.values("Edges.sum")[0] == pytest.approx(2.984, abs=5e-4)
    assert round(float(lesson.values("Edges.sum with pixels/256")[0]), 2) == 2.97


def test_sizes_of_the_lesson(lesson: LessonBook) -> None:
    assert lesson.places["im2col.unfolded"].tensor.shape == (1, 9, 676)
    assert lesson.places["Padding and stride.padded output"].tensor.shape == (1, 1, 6, 6)
    assert lesson.places["Padding and stride.strided output"].tensor.shape == (1, 1, 3, 3)
    assert lesson.places["Edges.maps"].tensor.shape == (1, 4, 26, 26)
    assert lesson.places["Two layers.conv2.weight"].tensor.shape == (2, 2, 3, 3)
    assert lesson.places["simple CNN.conv5"].tensor.shape == (1, 10, 1, 1)


def beside(lesson: LessonBook, sheet: str, text: str, name: str = "") -> list[float]:
    """The numbers to the right of a text, in its row."""
    cells = lesson.cells(sheet)
    r0, c0, r1, c1 = cells.extent
    for row in range(r0, r1 + 1):
        for col in range(c0, c1 + 1):
            if cells.value(row, col) == text:
                found = [cells.value(row, c) for c in range(col + 1, c1 + 1)]
                return [float(v) for v in found if isinstance(v, int | float)]
    raise AssertionError(f"{text!r} is not on {sheet}")


def labels(name: str) -> dict[str, str]:
    return next(page.labels for page in LESSON.page if page.name == name)


def test_parameters_are_counted_as_torch_counts_them(lesson: LessonBook) -> None:
    said = labels("simple CNN")
    net = load_model("simple-cnn")[0]
    mlp = nn.Sequential(nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, 10))
    assert beside(lesson, "simple CNN", said["total"])[0] == sum(p.numel() for p in net.parameters()) == 5274
    assert beside(lesson, "simple CNN", said["mlp"])[1] == sum(p.numel() for p in mlp.parameters()) == 39760
    counts = [beside(lesson, "simple CNN", said["relu"].replace("{number}", str(i)))[-1] for i in range(1, 5)]
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert counts == [sum(p.numel() for p in m.parameters()) for m in layers[:4]]
    grids = [beside(lesson, "simple CNN", said["relu"].replace("{number}", str(i)))[3] for i in range(1, 5)]
    assert grids == [14, 7, 4, 2]
    said = labels("Dense and softmax")
    dense = sum(p.numel() for p in nn.Linear(288, 10).parameters())
    assert beside(lesson, "Dense and softmax", said["count_dense"]) == [dense]


def test_sizes_of_the_calculator_are_those_of_torch(lesson: LessonBook) -> None:
    place = lesson.places["Padding and stride.sizes"]
    cells = lesson.cells("Padding and stride")
    for row, (n, k, p, s, d) in enumerate(lesson.values("Padding and stride.sizes").astype(int).tolist()):
        numbers = [cells.value(place.row + row, c) for c in range(place.box()[3] + 1, place.box()[3] + 10)]
        size, same = [float(v) for v in numbers if isinstance(v, int | float)]
        assert (
            size
            == F.conv1d(torch.zeros(1, 1, n), torch.zeros(1, 1, k), stride=s, padding=p, dilation=d).shape[-1]
        )
        if same == int(same):
            kept = F.conv1d(torch.zeros(1, 1, n), torch.zeros(1, 1, k), padding=int(same), dilation=d)
            assert kept.shape[-1] == n
        else:
            assert (k - 1) * d % 2


def test_a_batch_of_images_against_four_kernels(lesson: LessonBook) -> None:
    said = labels("Edges")
    maps = F.conv2d(torch.zeros(16, 1, 28, 28), torch.zeros(4, 1, 3, 3))
    assert beside(lesson, "Edges", said["result"]) == list(maps.shape) == [16, 4, 26, 26]


# --- selectors -----------------------------------------------------------------------------------------

Check = Callable[[dict[str, np.ndarray]], None]


def window(shape: tuple[int, ...], rows: range, columns: range) -> np.ndarray:
    """1 inside a window of the last two axes (what of it lies inside), 0 elsewhere."""
    found = np.zeros(shape)
    inside = [i for i in rows if 0 <= i < shape[-2]]
    found[..., inside[0] : inside[-1] + 1, [c for c in columns if 0 <= c < shape[-1]]] = 1
    return found


class Driven:
    """One step in LibreOffice: edits, and the tensors whose values and lights are wanted."""

    def __init__(self, lesson: LessonBook, edits: list[list[Any]], values: list[str], lit: list[str]) -> None:
        self.lesson, self.values, self.lights = lesson, values, lit
        formulas = [f for name in values for f in lesson.read(name)] + [
            f for name in lit for f in lesson.lit(name)
        ]
        self.step = {"edits": edits, "formulas": formulas}

    def read(self, found: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        flat = iter(found["formulas"])

        def take(name: str) -> np.ndarray:
            tensor: Tensor = self.lesson.places[name].tensor
            return np.array([next(flat) for _ in range(tensor.size)], dtype=float).reshape(tensor.shape)

        return {n: take(n) for n in self.values}, {n: take(n) for n in self.lights}


def selector_steps(lesson: LessonBook) -> list[Driven]:
    edit = lesson.edit
    return [
        Driven(lesson, [edit("Contents.choice", 2)], ["Contents.digit", "Edges.digit", "simple CNN.exponentials"], []),
        Driven(lesson, [edit("Contents.choice", 1), edit("Edges.position", 2)],
               ["Edges.sum", "Edges.sum with pixels/256", "Edges.row", "Edges.column"], ["Edges.digit", "Edges.maps"]),
        Driven(lesson, [edit("Edges.position", 3), edit("Edges.rows", 20, (2,)), edit("Edges.columns", 9, (2,)),
                        edit("Edges.kernel number", 4)], ["Edges.sum", "Edges.products"], ["Edges.digit", "Edges.maps"]),
        Driven(lesson, [edit("im2col.row", 3), edit("im2col.column", 20)],
               ["im2col.number of the column", "im2col.part", "im2col.part of the product"],
               ["im2col.digit", "im2col.product", "im2col.reshaped", "im2col.direct", "im2col.part"]),
        Driven(lesson, [edit("Padding and stride.padded row", 5), edit("Padding and stride.padded column", 0),
                        edit("Padding and stride.strided row", 2), edit("Padding and stride.strided column", 1)], [],
               [f"Padding and stride.{a} {b}" for a in ("padded", "strided") for b in ("image", "output")]),
        Driven(lesson, [edit("Two layers.row", 11), edit("Two layers.column", 2)], [],
               [f"Two layers.{n}" for n in ("input", "relu1", "relu2", "maxpool", "avgpool")]),
        Driven(lesson, [edit(f"Names.{axis}", i) for axis, i in zip("nchw", (0, 1, 1, 2), strict=True)],
               ["Names.offset nchw", "Names.offset nhwc", "Names.element nchw", "Names.element nhwc", "Names.tensor"],
               ["Names.tensor", "Names.memory nchw", "Names.memory nhwc"]),
    ]  # fmt: skip


@pytest.mark.libreoffice
def test_selectors_drive_the_sheets(lesson: LessonBook, audited: Audited) -> None:
    """Each yellow cell is set in LibreOffice; what lights up and what changes is what numpy and torch say."""
    images = lesson.values("Contents.images")
    results = [s.read(d) for s, d in zip(selector_steps(lesson), audited["selectors"], strict=True)]
    _digit(lesson, images, results[0][0])
    _edges(lesson, images, *results[1], *results[2])
    _im2col(lesson, images[0, 0], *results[3])
    _padding(results[4][1])
    lit = results[5][1]
    for name, step, size in (
        ("input", 2, 6),
        ("relu1", 2, 4),
        ("relu2", 2, 2),
        ("maxpool", 1, 1),
        ("avgpool", 1, 1),
    ):
        shown = lit[f"Two layers.{name}"]
        rows, columns = range(11 * step, 11 * step + size), range(2 * step, 2 * step + size)
        assert (shown == window(shown.shape, rows, columns)).all(), name
    _names(*results[6])


def _digit(lesson: LessonBook, images: np.ndarray, values: dict[str, np.ndarray]) -> None:
    assert (values["Contents.digit"] == images[1]).all()
    assert (values["Edges.digit"] == images[1]).all()
    net = load_model("simple-cnn", shipped("simple-cnn"))[0].double()
    with torch.no_grad():
        expected = torch.softmax(net(torch.from_numpy(images[1:2])), 1).numpy()
    assert values["simple CNN.exponentials"].reshape(-1) == pytest.approx(expected.reshape(-1), abs=1e-12)


def _edges(
    lesson: LessonBook,
    images: np.ndarray,
    preset: dict[str, np.ndarray],
    preset_lit: dict[str, np.ndarray],
    own: dict[str, np.ndarray],
    own_lit: dict[str, np.ndarray],
) -> None:
    kernels = lesson.values("Edges.kernels")
    assert (preset["Edges.row"][0], preset["Edges.column"][0]) == (7, 14)
    total = (images[0, 0, 7:10, 14:17] * kernels[0, 0]).sum()
    assert preset["Edges.sum"][0] == pytest.approx(total, abs=1e-12)
    if SHARED.is_dir():
        assert round(float(preset["Edges.sum with pixels/256"][0]), 2) == -2.96
    assert (preset_lit["Edges.digit"] == window((1, 1, 28, 28), range(7, 10), range(14, 17))).all()
    assert (preset_lit["Edges.maps"] == window((1, 4, 26, 26), range(7, 8), range(14, 15))).all()
    products = images[0, 0, 20:23, 9:12] * kernels[3, 0]
    assert (own["Edges.products"][0, 0] == products).all()
    assert own["Edges.sum"][0] == pytest.approx(products.sum(), abs=1e-12)
    assert (own_lit["Edges.digit"] == window((1, 1, 28, 28), range(20, 23), range(9, 12))).all()
    assert (own_lit["Edges.maps"] == window((1, 4, 26, 26), range(20, 21), range(9, 10))).all()


def _im2col(
    lesson: LessonBook, image: np.ndarray, values: dict[str, np.ndarray], lit: dict[str, np.ndarray]
) -> None:
    assert values["im2col.number of the column"][0] == 3 * 26 + 20
    unfolded = F.unfold(torch.from_numpy(image)[None, None], 3)[0].numpy()
    assert (values["im2col.part"][0, 0] == unfolded[:, 78:104]).all()
    sums = lesson.values("im2col.kernel").reshape(1, 9) @ unfolded[:, 78:104]
    assert values["im2col.part of the product"].reshape(-1) == pytest.approx(sums.reshape(-1), abs=1e-12)
    assert (lit["im2col.digit"] == window((1, 1, 28, 28), range(3, 6), range(20, 23))).all()
    for name in ("reshaped", "direct"):
        assert (lit[f"im2col.{name}"] == window((1, 1, 26, 26), range(3, 4), range(20, 21))).all()
    assert np.flatnonzero(lit["im2col.product"]).tolist() == [98]
    assert (lit["im2col.part"] == window((1, 1, 9, 26), range(9), range(20, 21))).all()


def _padding(lit: dict[str, np.ndarray]) -> None:
    page = "Padding and stride"
    assert (lit[f"{page}.padded output"] == window((1, 1, 6, 6), range(5, 6), range(1))).all()
    assert (lit[f"{page}.padded image"] == window((1, 1, 5, 5), range(3, 7), range(-2, 2))).all()
    assert (lit[f"{page}.strided output"] == window((1, 1, 3, 3), range(2, 3), range(1, 2))).all()
    assert (lit[f"{page}.strided image"] == window((1, 1, 5, 5), range(3, 6), range(1, 4))).all()


def _names(values: dict[str, np.ndarray], lit: dict[str, np.ndarray]) -> None:
    tensor = torch.from_numpy(values["Names.tensor"])
    last = tensor.to(memory_format=torch.channels_last)
    for name, strides in (("nchw", tensor.contiguous().stride()), ("nhwc", last.stride())):
        offset = sum(i * s for i, s in zip((0, 1, 1, 2), strides, strict=True))
        assert values[f"Names.offset {name}"][0] == offset
        assert values[f"Names.element {name}"][0] == tensor[0, 1, 1, 2]
        assert np.flatnonzero(lit[f"Names.memory {name}"]).tolist() == [offset]
    expected = np.zeros(tensor.shape)
    expected[0, 1, 1, 2] = 1
    assert (lit["Names.tensor"] == expected).all()


def window_steps(lesson: LessonBook) -> list[Driven]:
    row, col = lesson.chosen_by("Convolution", "P")
    names = ["Convolution.image", "Convolution.flattened image", "Convolution.output", "Convolution.matrix"]
    return [Driven(lesson, [["Convolution", row, col, letter]], [], names) for letter in "PQRS"]


@pytest.mark.libreoffice
def test_windows_of_the_smallest_convolution_light_up(lesson: LessonBook, audited: Audited) -> None:
    for output, (step, found) in enumerate(zip(window_steps(lesson), audited["windows"], strict=True)):
        _, lit = step.read(found)
        y, x = divmod(output, 2)
        seen = window((1, 1, 3, 3), range(y, y + 2), range(x, x + 2))
        assert (lit["Convolution.image"] == seen).all()
        assert (lit["Convolution.flattened image"].reshape(-1) == seen.reshape(-1)).all()
        assert np.flatnonzero(lit["Convolution.output"]).tolist() == [output]
        assert lit["Convolution.matrix"].any(1).tolist() == [i == output for i in range(4)]


def label_steps(lesson: LessonBook) -> list[dict[str, Any]]:
    page = "Dense and softmax"
    said = labels(page)
    cells = lesson.cells(page)
    r0, c0, r1, c1 = cells.extent
    at = {cells.value(r, c): r for r in range(r0, r1 + 1) for c in range(c0, c1 + 1)}
    col = lesson.places[f"{page}.label"].column
    asked = [[page, f"={cell(at[said[key]], col)}"] for key in ("chance", "loss")]
    return [{"edits": [lesson.edit(f"{page}.label", label)], "formulas": asked} for label in range(10)]


@pytest.mark.libreoffice
def test_loss_follows_the_label(lesson: LessonBook, audited: Audited) -> None:
    logits = torch.from_numpy(lesson.values("Dense and softmax.logits"))
    for label, found in enumerate(audited["labels"]):
        chance, loss = found["formulas"]
        assert chance == pytest.approx(
            torch.softmax(logits, 1)[0, label].item(), rel=1e-9
        )  # logits have 12 digits
        assert loss == pytest.approx(F.cross_entropy(logits, torch.tensor([label])).item(), rel=1e-9)


# --- tracing and links ---------------------------------------------------------------------------------


def one_of_each(lesson: LessonBook) -> list[tuple[str, str, int, int]]:
    """Name, sheet, row and column of the middle cell of every map that is computed.

    Of the page that learns only the first two steps: the others repeat them, hundreds of levels deep.
    """
    found = []
    for name, place in lesson.places.items():
        later = re.fullmatch(r"Learning\..* (\d+|shown|steps)", name)
        if later and later[1] not in ("0", "1"):
            continue
        if place.tensor.operation is not None:
            rows, columns = lesson.at(name)
            index = tuple(s // 2 for s in place.tensor.shape)
            found.append((name, place.sheet, int(rows[index]), int(columns[index])))
    return found


@pytest.mark.libreoffice
def test_tracing_in_libreoffice_reaches_what_a_cell_depends_on(lesson: LessonBook, audited: Audited) -> None:
    """From one cell of every map: the same cells as sheetconv's own reading of the formulas in the file."""
    chosen = one_of_each(lesson)
    assert len(chosen) > 45
    with Source(lesson.path) as source:
        for (name, sheet, row, col), levels in zip(chosen, audited["trace"][0]["levels"], strict=True):
            found = {(s, r, c) for level in levels for s, r0, c0, r1, c1 in level
                     for r in range(r0, r1 + 1) for c in range(c0, c1 + 1)}  # fmt: skip
            traced = trace(source, Area(sheet, row, col, row, col))
            expected = {tuple(c) for c in cells(traced.areas)} - {(sheet, row, col)}
            assert found == expected, name


@pytest.mark.parametrize("name", MINE)
def test_pages_are_linked_both_ways(lesson: LessonBook, name: str) -> None:
    sheets = [s for s in lesson.sheets if not s.startswith("_")]
    links = [
        c.hyperlink for row in lesson.open[name].iter_rows(max_row=60, max_col=60) for c in row if c.hyperlink
    ]
    targets = {(link.location or "").rpartition("!")[0].strip("'") for link in links}
    for before, after in pairwise(sheets):
        if name == before:
            assert after in targets
        if name == after:
            assert before in targets
    assert targets <= set(sheets)
    if name == "Contents":
        assert targets == set(sheets) - {name}


def test_formulas_are_portable_and_not_volatile(lesson: LessonBook) -> None:
    """RAND stands on one page alone, behind a switch."""
    portable = {"SUMPRODUCT", "SUM", "MAX", "MIN", "AVERAGE", "EXP", "LN", "INDEX", "IF", "CHOOSE", "MATCH", "INT", "ABS",
                "AND", "MOD", "COUNTIF"}  # fmt: skip
    for sheet in lesson.sheets:
        used = set()
        for _, _, formula in lesson.cells(sheet).formula_cells():
            used |= set(re.findall(r"([A-Z.]+)\(", formula))
        assert used <= portable | ({"RAND"} if sheet == "Dropout" else set()), sheet


# --- texts ---------------------------------------------------------------------------------------------


def marked(value: Any) -> Any:
    """Texts with a mark, at any depth; in tables only what is called a name."""
    if isinstance(value, str):
        return f"§{value}"
    if isinstance(value, list):
        return [marked(v) for v in value]
    if isinstance(value, dict):
        return {k: marked(v) if k == "name" or isinstance(v, list | dict) else v for k, v in value.items()}
    return value


def test_all_prose_comes_from_the_template(tmp_path: Path) -> None:
    """Mark every text of the template: then every text in the workbook is marked, or data, or a formula's picture."""
    template = load("lesson")
    template.page = part(template.page, TESTED_PAGES)
    template.texts = {k: marked(v) for k, v in template.texts.items()}
    for page in template.page:
        page.title, page.summary = marked(page.title), marked(page.summary)
        page.text, page.questions = marked(page.text), marked(page.questions)
        page.labels = {k: marked(v) for k, v in page.labels.items()}
        page.options = {k: marked(v) if k in ("kernels", "positions") else v for k, v in page.options.items()}
    out = tmp_path / "marked.xlsx"
    write_pages(out, template, pick("builtin", digit=3))
    book = LessonBook(out)
    captions = book.manifest.facts["captions"]
    letters = re.compile(r"[A-JP-S]|[αβγδ]·[A-J]|\d+  .*|[=+×Σb]|\+ b =|max \|Δ\|")
    rest = []
    for name in MINE:
        cells = book.cells(name)
        plain = [
            v
            for row in cells.values(*cells.extent).tolist()
            for v in row
            if isinstance(v, str) and "§" not in v
        ]
        for text in plain:
            shown = text.startswith("=") or any(c in text for c in captions)
            listed = name == "Contents" and text.lstrip("0123456789 ") in PAGES
            if not (shown or listed or letters.fullmatch(text)):
                rest.append((name, text))
    assert rest == []
