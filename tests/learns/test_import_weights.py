"""Weights out of the cells again: bit for bit, and never from a damaged workbook."""

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from learns.edits import edited, place
from safetensors.numpy import load_file, save_file

from sheetconv.building import Request, build
from sheetconv.cli import main
from sheetconv.errors import ModelError, WorkbookError
from sheetconv.models import load_model
from sheetconv.nets import seeded
from sheetconv.sheet.weights import import_weights, read_weights, stored_as, unrounded

FINITE32 = st.integers(0, 2**32 - 1).map(lambda b: struct.unpack("<f", struct.pack("<I", b))[0])
FINITE64 = st.integers(0, 2**64 - 1).map(lambda b: struct.unpack("<d", struct.pack("<Q", b))[0])
NET = '''"""A line."""
import torch
def net():
    return torch.nn.Sequential(torch.nn.Conv1d(1, 1, 2), torch.nn.Flatten(), torch.nn.Linear(2, 2)).double()
'''


def bits(path: Path) -> dict[str, bytes]:
    return {name: array.dtype.str.encode() + array.tobytes() for name, array in load_file(path).items()}


@pytest.mark.parametrize(("dtype", "finite"), [("float32", FINITE32), ("float64", FINITE64)])
def test_any_finite_bits_come_back(dtype: str, finite: st.SearchStrategy[float], tmp_path: Path) -> None:
    code = tmp_path / "net.py"
    code.write_text(NET)

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(finite.filter(np.isfinite), min_size=9, max_size=9))
    def check(numbers: list[float]) -> None:
        values = np.array(numbers, dtype)
        state = {"0.weight": values[:2].reshape(1, 1, 2), "0.bias": values[2:3],
                 "2.weight": values[3:7].reshape(2, 2), "2.bias": values[7:]}  # fmt: skip
        weights, book, back = (tmp_path / name for name in ("in.safetensors", "b.xlsx", "out.safetensors"))
        save_file({k: np.ascontiguousarray(v) for k, v in state.items()}, weights)
        # torch itself may overflow on such numbers, so their workbook is made without computing anything
        write_plain(book, code, weights)
        import_weights(book, back, dtype=dtype, force=True)
        assert bits(back) == bits(weights)

    check()


def write_plain(book: Path, code: Path, weights: Path) -> None:
    """A workbook of the network for an input of zeros, with weights of any size put into its cells afterwards."""
    built = book.with_name("zero.xlsx")
    if not built.exists():
        request = Request(built, model=f"{code}:net", input_shape=(1, 3), random_input=True, verify=False)
        build(request)
    numbers = {}
    for name, array in load_file(weights).items():
        for index in np.ndindex(array.shape):
            numbers[place(built, name, *index)] = repr(float(array[index]))
    edited(built, book, numbers)


def test_build_import_build_keeps_every_bit(tmp_path: Path) -> None:
    state = {k: v.numpy() for k, v in seeded("conv-example", 3).state_dict().items()}
    first, again = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file(state, first)
    build(Request(tmp_path / "a.xlsx", "conv-example", weights=first, dataset="builtin", verify=False))
    done = CliRunner().invoke(main, ["import-weights", str(tmp_path / "a.xlsx"), "-o", str(again)])
    assert done.exit_code == 0, done.output
    assert bits(again) == bits(first)
    build(Request(tmp_path / "b.xlsx", "conv-example", weights=again, dataset="builtin", verify=False))
    import_weights(tmp_path / "b.xlsx", again, force=True)
    assert bits(again) == bits(first)


def test_an_edited_kernel_comes_back(example_book: Path, tmp_path: Path) -> None:
    book = tmp_path / "edited.xlsx"
    edited(example_book, book, {place(example_book, "conv1.weight", 1, 0, 2, 1): "0.12345678901234568"})
    before, after = read_weights(example_book).values, read_weights(book).values
    assert after["conv1.weight"][1, 0, 2, 1] == 0.12345678901234568
    after["conv1.weight"][1, 0, 2, 1] = before["conv1.weight"][1, 0, 2, 1]
    assert all(np.array_equal(before[name], after[name]) for name in before)
    import_weights(book, tmp_path / "m.safetensors")
    kinds = {name: array.dtype for name, array in load_file(tmp_path / "m.safetensors").items()}
    assert kinds["conv1.weight"] == np.float64
    assert kinds["conv2.weight"] == np.float32


@pytest.mark.parametrize("held", ["text", "blank", "error"])
def test_the_first_damaged_cell_is_named(example_book: Path, tmp_path: Path, held: str) -> None:
    book = tmp_path / "damaged.xlsx"
    at = place(example_book, "conv2.weight", 1, 1, 0, 2)
    edited(example_book, book, {at: {"text": "oops", "blank": None, "error": "#N/A"}[held]})
    out = tmp_path / "m.safetensors"
    done = CliRunner().invoke(main, ["import-weights", str(book), "-o", str(out)])
    assert done.exit_code == 1
    assert at.split("!")[1] in done.output
    assert "conv2.weight" in done.output
    assert not out.exists()


def test_moved_cells_are_refused(example_book: Path, tmp_path: Path) -> None:
    book = tmp_path / "moved.xlsx"
    edited(example_book, book, {}, names=lambda text: text.replace("$7", "$6", 1))
    with pytest.raises(WorkbookError, match="inserted or deleted"):
        read_weights(book)
    edited(example_book, book, {place(example_book, "conv2", 0, 1, 3, 3): None})
    with pytest.raises(WorkbookError, match="where a formula was"):
        read_weights(book)


def test_a_missing_sheet_and_a_strange_file(example_book: Path, tmp_path: Path) -> None:
    book = tmp_path / "renamed.xlsx"
    edited(example_book, book, {}, sheets=lambda text: text.replace('name="Network"', 'name="Other"'))
    with pytest.raises(WorkbookError, match="'Network' is missing"):
        read_weights(book)
    with pytest.raises(WorkbookError):
        read_weights(tmp_path / "none.xlsx")


def test_float32_is_told_from_float64() -> None:
    single = torch.rand(50, dtype=torch.float32).numpy()
    assert stored_as(single.astype(np.float64), "auto").dtype == np.float32
    saved = np.array([float(f"{float(v):.15g}") for v in single])
    assert np.array_equal(unrounded(saved), single.astype(np.float64))
    typed = np.array([0.1, 0.2, 1 / 3])
    assert np.array_equal(unrounded(typed), typed)
    assert stored_as(np.nextafter(single.astype(np.float64), 2), "auto").dtype == np.float64


@pytest.mark.parametrize(
    ("dtype", "extremes"),
    [
        ("float32", [-0.0, 1e-45, -1.1754942e-38, 1 / 3, 16777216, -1e-7, 0.1, 2**-126, 3.4028235e38]),
        (
            "float64",
            [-0.0, 5e-324, -2.2250738585072014e-308, 1 / 3, 2**53 + 2, -1e-7, 0.1, 1 + 2**-52, 1e200],
        ),
    ],
)
def test_extreme_numbers_survive_the_writer(dtype: str, extremes: list[float], tmp_path: Path) -> None:
    code, weights, back = tmp_path / "net.py", tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    code.write_text(NET)
    v = np.array(extremes, dtype)
    state = {
        "0.weight": v[:2].reshape(1, 1, 2),
        "0.bias": v[2:3],
        "2.weight": v[3:7].reshape(2, 2),
        "2.bias": v[7:],
    }
    save_file({k: np.ascontiguousarray(a) for k, a in state.items()}, weights)
    book = tmp_path / "b.xlsx"
    build(
        Request(
            book, model=f"{code}:net", weights=weights, input_shape=(1, 3), random_input=True, verify=False
        )
    )
    import_weights(book, back, dtype=dtype)
    assert bits(back) == bits(weights)


@pytest.mark.libreoffice
def test_a_kernel_saved_by_libreoffice_comes_back(tmp_path: Path) -> None:
    state = {k: v.numpy() for k, v in seeded("conv-example", 3).state_dict().items()}
    save_file(state, tmp_path / "in.safetensors")
    built, book = tmp_path / "built.xlsx", tmp_path / "edited.xlsx"
    build(
        Request(built, "conv-example", weights=tmp_path / "in.safetensors", dataset="builtin", verify=False)
    )
    edited(built, book, {place(built, "conv1.weight", 1, 0, 2, 1): "0.1234567890123"})
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"
    command = ["soffice", profile, "--headless", "--convert-to", "xlsx", "--outdir", str(tmp_path / "saved")]
    subprocess.run([*command, str(book)], check=True, capture_output=True, timeout=120)
    saved = read_weights(tmp_path / "saved" / "edited.xlsx").values
    assert saved["conv1.weight"][1, 0, 2, 1] == 0.1234567890123
    state["conv1.weight"] = state["conv1.weight"].astype(np.float64)
    state["conv1.weight"][1, 0, 2, 1] = 0.1234567890123
    assert saved.keys() == state.keys()
    single = {name: (saved[name].astype(np.float32), np.float32(values)) for name, values in state.items()}
    assert all(np.array_equal(found, values) for found, values in single.values())


def test_a_workbook_stands_for_its_weights(example_book: Path, tmp_path: Path) -> None:
    """`train --from BOOK` and `--weights BOOK` start from the cells as they are."""
    book = tmp_path / "edited.xlsx"
    edited(example_book, book, {place(example_book, "conv1.weight", 1, 0, 2, 1): "0.5"})
    module, _ = load_model("conv-example", book)
    assert module.get_parameter("conv1.weight")[1, 0, 2, 1].item() == 0.5
    with pytest.raises(ModelError, match="lacks"):
        load_model("simple-cnn", book)
    assert "--from" in CliRunner().invoke(main, ["train", "--help"]).output
