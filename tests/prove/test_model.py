"""The network that the user names has the last word, over a manifest that is forged in itself."""

from pathlib import Path

import pytest

from sheetconv.prove.verify import Report, verify
from tests.prove.books import addresses, altered, cells, forged, part_of

SHEET = "Network"


def network(report: Report) -> str:
    return next(leg.detail for leg in report.legs if leg.name == "The network")


def test_a_workbook_is_the_network_that_it_was_built_from(example: Path) -> None:
    report = verify(example, device="cpu", probes=1, model="conv-example")
    assert report.agrees, report.verdict()
    assert report.verdict().endswith("it is the network conv-example itself")


def test_without_a_network_the_verdict_says_what_it_is_relative_to(example: Path) -> None:
    assert verify(example, device="cpu", probes=1).verdict().endswith("the operators that the manifest names")


def test_another_network_is_none_of_its_parts(example: Path) -> None:
    report = verify(example, device="cpu", probes=1, model="mlp")
    assert not report.agrees


def test_another_parameter_is_named(example: Path, tmp_path: Path) -> None:
    address = addresses(example, "conv2.weight")[7]
    change = cells(lambda a, f, v: ("", repr(float(v) + 1e-6)) if a == address else None)
    report = verify(
        altered(example, tmp_path / "bad.xlsx", {part_of(example, SHEET): change}),
        device="cpu",
        probes=1,
        model="conv-example",
    )
    assert "1 of 36 cells of conv2.weight" in network(report)
    assert address in network(report)


@pytest.mark.parametrize("forgery", ["operator", "attribute", "wiring"])
def test_a_manifest_forged_with_its_formulas_is_not_the_network(
    forgery: str, example: Path, tmp_path: Path
) -> None:
    """What is forged is right in itself, so only the network itself can tell."""

    def forge(data: dict[str, list[dict[str, dict[str, object]]]]) -> None:
        named = {str(t["name"]): t for t in data["tensors"]}
        if forgery == "operator":
            named["relu1"]["operation"]["call"] = "aten.abs.default"
        elif forgery == "attribute":
            arguments = named["conv2"]["operation"]["arguments"]
            assert isinstance(arguments, list)
            arguments[3] = [2, 2]
        else:
            named["relu2"]["operation"]["arguments"] = [{"tensor": "conv1"}]

    bad = forged(example, tmp_path / "bad.xlsx", forge)
    from sheetconv.errors import WorkbookError

    try:
        report = verify(bad, device="cpu", probes=1, model="conv-example")
    except WorkbookError:
        return  # the operators do not fit the shapes
    assert not report.agrees
    assert "in the network" in network(report)
