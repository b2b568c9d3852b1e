"""A workbook is live, counted whole, and compared cell by cell."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sheetconv.prove.verify import Report, verify
from tests.prove.books import addresses, altered, cells, forged, part_of, values

Change = Callable[[str, str, str], tuple[str, str] | None]
SHEET = "Network"


def changed(example: Path, tmp_path: Path, change: Change) -> Report:
    part = part_of(example, SHEET)
    return verify(altered(example, tmp_path / "bad.xlsx", {part: cells(change)}), device="cpu")


def test_one_formula_replaced_by_its_value_is_dead(example: Path, tmp_path: Path) -> None:
    address = addresses(example, "conv1")[700]
    report = changed(example, tmp_path, lambda a, f, v: ("", v) if a == address else None)
    assert not report.agrees
    assert report.verdict().startswith("NOT PROVEN: Live: DEAD: 1 of 1,352 cells of conv1")
    assert address in report.verdict()


def test_every_relu_replaced_by_its_value_is_dead(example: Path, tmp_path: Path) -> None:
    gone = {*addresses(example, "relu1"), *addresses(example, "relu2")}
    report = changed(example, tmp_path, lambda a, f, v: ("", v) if a in gone else None)
    assert not report.agrees
    assert "1,352 of 1,352 cells of relu1" in report.verdict()


@pytest.mark.parametrize("content", [("", ""), ("", "text")], ids=["blank", "text"])
def test_a_blank_or_a_text_is_dead(example: Path, tmp_path: Path, content: tuple[str, str]) -> None:
    address = addresses(example, "conv1")[700]
    kind = ' t="str"' if content[1] else ""
    part = part_of(example, SHEET)

    def change(text: str) -> str:
        return cells(lambda a, f, v: content if a == address else None)(text).replace(
            f'<c r="{address}"', f'<c r="{address}"{kind}'
        )

    report = verify(altered(example, tmp_path / "bad.xlsx", {part: change}), device="cpu")
    assert not report.legs[0].holds
    assert not report.agrees


def test_a_formula_in_a_parameter_is_not_proven(example: Path, tmp_path: Path) -> None:
    address = addresses(example, "conv1.weight")[4]
    report = changed(example, tmp_path, lambda a, f, v: (v, v) if a == address else None)
    assert not report.agrees
    assert "holds a formula where a number is typed" in report.verdict()


def test_no_cells_prove_nothing(example: Path, tmp_path: Path) -> None:
    def empty(data: dict[str, object]) -> None:
        data.update(tensors=[], inputs=[], outputs=[], notes=[], texts=[])

    everything = {part_of(example, SHEET): cells(lambda a, f, v: ("42", "42") if f else None)}
    report = verify(forged(example, tmp_path / "bad.xlsx", empty, **everything), device="cpu")
    assert report.verdict().startswith("NOT PROVEN")
    assert "no cells at all" in str(report.legs)


def test_a_tail_dropped_from_the_manifest_leaves_formulas_unaccounted(example: Path, tmp_path: Path) -> None:
    def drop(data: dict[str, list[Any]]) -> None:
        last = data["tensors"].pop()
        data["outputs"] = [n for n in data["outputs"] if n != last["name"]]
        assert f'"{last["name"]}"' not in json.dumps(data["tensors"]), "nothing reads it"

    report = verify(forged(example, tmp_path / "bad.xlsx", drop), device="cpu")
    assert report.verdict().startswith("NOT PROVEN: nothing accounts for")


def test_a_hidden_sheet_with_the_tensors_is_not_proven(example: Path, tmp_path: Path) -> None:
    bad = altered(
        example,
        tmp_path / "bad.xlsx",
        {
            "xl/workbook.xml": lambda t: t.replace(
                '<sheet name="Network"', '<sheet name="Network" state="hidden"'
            )
        },
    )
    assert "is hidden" in verify(bad, device="cpu").verdict()


@pytest.mark.parametrize(
    ("attribute", "named"),
    [('iterate="1"', "iterative calculation"), ('fullPrecision="0"', "precision as displayed")],
)
def test_settings_that_change_results_are_named(
    example: Path, tmp_path: Path, attribute: str, named: str
) -> None:
    bad = altered(
        example,
        tmp_path / "bad.xlsx",
        {"xl/workbook.xml": lambda t: t.replace("<calcPr ", f"<calcPr {attribute} ")},
    )
    assert named in verify(bad, device="cpu").verdict()


def test_a_margin_that_is_filled_is_not_proven(example: Path, tmp_path: Path) -> None:
    report = None
    from sheetconv.building import Request, build

    padded = tmp_path / "simple.xlsx"
    build(Request(padded, "simple-cnn", dataset="builtin", digit=3, verify=False))
    part = part_of(padded, SHEET)
    above = addresses(padded, "input")[0]

    def fill(text: str) -> str:
        from sheetconv.xlsx.a1 import cell_name, parse_cell

        row, column = parse_cell(above)
        corner = cell_name(row - 1, column - 1)
        start = text.index(f'<c r="{corner}"')
        end = text.index("/>", start)
        return f"{text[:end]}><v>1</v></c>{text[end + 2 :]}"

    report = verify(altered(padded, tmp_path / "bad.xlsx", {part: fill}), device="cpu")
    assert "in the margin of input" in " ".join(report.reasons)


def test_a_large_pixel_hides_no_fault(example: Path, tmp_path: Path) -> None:
    """The tolerance is each cell's own: 10¹² in one corner of the image does not excuse 0.5 in the other."""
    pixel = addresses(example, "input")[0]
    fault = addresses(example, "relu1")[600]
    report = changed(
        example,
        tmp_path,
        lambda a, f, v: ("", "1E12") if a == pixel else (f"{f}+0.5", v) if a == fault else None,
    )
    wrong = [c for c in report.computed if not c.agrees]
    assert [(c.tensor, c.wrong) for c in wrong] == [("relu1", 1)]
    assert fault in report.verdict()


def test_absent_cached_values_are_said_and_no_difference(example: Path, tmp_path: Path) -> None:
    report = changed(example, tmp_path, lambda a, f, v: (f, "") if f else None)
    assert report.agrees, report.verdict()
    assert "6,110 cells have no cached values" in report.verdict()


def test_a_book_saved_by_openpyxl_has_no_cached_values(example: Path, tmp_path: Path) -> None:
    from openpyxl import load_workbook

    load_workbook(example).save(tmp_path / "saved.xlsx")
    report = verify(tmp_path / "saved.xlsx", device="cpu")
    assert report.agrees, report.verdict()
    assert report.cached == []
    assert "; no cached values" in report.verdict()


def test_a_tensor_named_with_escapes_moves_no_cursor(example: Path, tmp_path: Path) -> None:
    def rename(data: dict[str, object]) -> None:
        tensors = data["tensors"]
        assert isinstance(tensors, list)
        tensors[-1]["name"] = "x\x1b[2K\rVERIFIED: all"
        data["outputs"] = ["dense"]

    fault = addresses(example, "conv1")[300]
    bad = forged(
        example,
        tmp_path / "bad.xlsx",
        rename,
        **{part_of(example, SHEET): cells(lambda a, f, v: (f"{f}+1", v) if a == fault else None)},
    )
    report = verify(bad, device="cpu")
    from sheetconv.prove.verify import table

    assert "\x1b" not in table(report) + report.verdict()
    assert "\r" not in table(report) + report.verdict()


def test_values_helper_reads_what_stands(example: Path) -> None:
    found = values(example, SHEET, addresses(example, "relu1"))
    assert len(found) == 1352
    assert sum(v == 0 for v in found.values()) > 100
