"""Templates: copies, parts, translations; mistakes by file, key and line; texts stay texts; the docs agree."""

import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from sheetconv.building import Request, build
from sheetconv.cli import main
from sheetconv.errors import TemplateError
from sheetconv.pages import kinds
from sheetconv.template import folder, line_of, load, names
from sheetconv.xlsx.cells import Book

DOCS = Path(__file__).resolve().parents[2] / "examples" / "lesson.md"
LESSON = (folder() / "lesson.toml").read_text(encoding="utf-8")


def test_every_kind_of_page_is_in_a_template() -> None:
    used = {page.kind for name in names() for page in load(name).page}
    assert used == set(kinds())


@pytest.mark.parametrize(
    ("net", "weights", "cells"), [("simple-cnn", "simple-cnn", 1_000), ("lenet5", "", 9_000)]
)
def test_any_network_can_be_a_page_of_its_own(tmp_path: Path, net: str, weights: str, cells: int) -> None:
    path = tmp_path / "mine.toml"
    page = (
        f'[[page]]\nkind = "network"\nname = "Net"\nnet = "{net}"\nweights = "{weights}"\nfuse_relu = true\n'
    )
    path.write_text(f'[[page]]\nkind = "contents"\n\n{page}', encoding="utf-8")
    built = build(Request(tmp_path / "x.xlsx", str(path), dataset="builtin", digit=4))
    assert built.report is not None
    assert built.report.agrees
    assert built.report.largest <= 1e-12
    assert sum(c.cells for c in built.report.computed if "Net" in c.worst) > cells


def test_copies_are_handed_out_and_not_overwritten(tmp_path: Path) -> None:
    run = CliRunner().invoke
    listed = run(main, ["templates"]).output
    assert all(name in listed for name in names())
    assert run(main, ["templates", "--copy", "lesson", str(tmp_path / "a" / "b")]).exit_code == 0
    copied = tmp_path / "a" / "b" / "lesson.toml"
    assert copied.read_text(encoding="utf-8") == LESSON
    copied.write_text("mine")
    refused = run(main, ["templates", "--copy", "lesson", str(copied.parent)])
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert copied.read_text() == "mine"
    assert run(main, ["templates", "--copy", "lesson", str(copied.parent), "--force"]).exit_code == 0
    assert run(main, ["templates", "--copy", "nothing", str(tmp_path)]).exit_code == 2
    assert run(main, ["templates", "--copy", "lesson"]).exit_code == 2


PAGE = 'title = "T"\n\n[[page]]\nkind = "contents"\n\n[[page]]\nkind = "edges"\nname = "E"\n'


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        (PAGE + 'colour = "red"\n', 9, ["no key 'colour'", "kernels"]),
        (PAGE + "title = 3\n", 9, ["title must be a text"]),
        (PAGE + 'kernels = "none"\n', 9, ["kernels must be a list of 4"]),
        (PAGE + 'kernels = [{name="a", weights=[[1]]}, {}, {}, {}]\n', 9, ["kernels", "weights", "3×3"]),
        (PAGE + 'text = """\nkernels = 3\n"""\nkernels = 4\n', 12, ["kernels must be a list"]),
        (PAGE + '[page.labels]\ndigit = "d"\nnumber = "n"\n', 11, ["no text 'number'", "digit"]),
        (PAGE + "[page.labels]\ndigit = 5\n", 10, ["digit must be a text"]),
        (PAGE + '\n[[page]]\nkind = "edge"\n', 11, ["no kind of page 'edge'", "im2col"]),
        (PAGE + '\n[[page]]\nkind = "im2col"\nname = "e"\n', 12, ["two pages are called 'e'"]),
        (PAGE + '\n[[page]]\nkind = "im2col"\nname = "a/b"\n', 12, ["sheet's name"]),
        (PAGE + '\n[[page]]\nkind = "im2col"\nrow = 26\n', 12, ["row must be a whole number, 0 to 25"]),
        (PAGE + '\n[[page]]\nkind = "dense"\nweights = "best"\n', 12, ["weights", "conv-example"]),
        (PAGE + '\n[texts]\nback = "b"\nforth = "f"\n', 12, ["no text 'forth'"]),
        ('titel = "T"\n', 1, ["no key 'titel'"]),
        ("page = 3\n", 1, ["[[page]]"]),
    ],
)
def test_mistakes_are_named_by_file_line_and_key(
    tmp_path: Path, text: str, line: int, parts: list[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TemplateError) as caught:
        load(str(path))
    message = str(caught.value)
    assert message.startswith(f"{path}, line {line}: ")
    assert all(part in message for part in parts), message
    assert "\n" not in message


def test_bounds_of_a_template(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    for text in (
        PAGE + '[[page]]\nkind = "digits"\n' * 200,
        PAGE + f'text = "{"x" * 6000}"\n',
        PAGE + f"questions = {['q'] * 30}\n",
        PAGE + '\n[[page]]\nkind = "convolution"\nbias = 1e9\n',
        PAGE + '\n[[page]]\nkind = "convolution"\nbias = nan\n',
        PAGE + f'\n[[page]]\nkind = "padding"\nsizes = {[[1, 1, 1, 1, 1]] * 13}\n',
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(TemplateError):
            load(str(path))


def test_lines_of_keys() -> None:
    assert line_of(PAGE, "kind", 0) == 4
    assert line_of(PAGE, "kind", 1) == 7
    assert line_of(PAGE, "name", 1) == 8
    assert line_of(PAGE, "title") == 1
    assert line_of(PAGE, "absent", 1) == 6


def test_unknown_pages_of_a_part_are_refused(tmp_path: Path) -> None:
    for wanted, part in (("99", "'99'"), ("2,Nowhere", "'Nowhere'")):
        result = CliRunner().invoke(
            main,
            ["build-workbook", "--pages", wanted, "--dataset", "builtin", "-o", str(tmp_path / "x.xlsx")],
        )
        assert result.exit_code == 2
        assert part in result.stderr
        assert "2 Convolution" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_part_by_number_and_name_keeps_the_order(tmp_path: Path) -> None:
    build(Request(tmp_path / "x.xlsx", pages="Names,2", dataset="builtin", digit=4, verify=False))
    with Book(tmp_path / "x.xlsx") as book:
        assert [s for s in book.sheet_names if not s.startswith("_")] == ["Contents", "Convolution", "Names"]


def test_the_template_in_the_docs_builds_and_its_texts_stay_texts(tmp_path: Path) -> None:
    """The docs' example, with formulas for texts: words from a template never compute."""
    example = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[0]
    example = example.replace('"Kanten einer Ziffer"', '"=1+1"').replace('"Mittel"', '"@SUM(1)"')
    example = example.replace('"Die Ziffer, 28×28"', '"=Kanten!A1"').replace('"Was macht', '"=HYPERLINK(')
    path = tmp_path / "docs.toml"
    path.write_text(example, encoding="utf-8")
    built = build(Request(tmp_path / "x.xlsx", str(path), dataset="builtin", digit=4))
    assert built.report is not None
    assert built.report.agrees
    with Book(tmp_path / "x.xlsx") as book:
        assert book.sheet_names[:2] == ["Inhalt", "Kanten"]
        cells = book.cells("Kanten")
        texts = [v for row in cells.values(*cells.extent).tolist() for v in row if isinstance(v, str)]
        assert {"=1+1", "=Kanten!A1"} <= set(texts)
        computed = [formula for _, _, formula in cells.formula_cells()]
        assert not any("HYPERLINK" in f or f in ("1+1", "=1+1") or f[-2:] == "A1" for f in computed)


def test_the_docs_say_where_every_point_of_the_lesson_is() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)[1:]
    told = {name.strip(): set(re.findall(r"\bL\d+\b", points)) for name, points in rows}
    pages = {page["name"]: set(page.get("points", [])) for page in tomllib.loads(LESSON)["page"]}
    for name, points in pages.items():
        assert told.get(name, set()) == points, name
    found = set().union(*pages.values())
    assert found >= {f"L{i}" for i in (*range(1, 20), 22, 26, 27)}


def test_rows_of_numbers_in_a_page_are_no_tables() -> None:
    text = '[[page]]\nkind = "metrics"\nbatches = [\n  [0.6, 32],\n  [0.9, 2]\n]\n[[page]]\nkind = "learner"\nhistory = "x"\n'
    assert line_of(text, "history", 1) == 9
