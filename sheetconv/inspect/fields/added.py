"""The sheet with an effective field, added to the workbook that it was computed from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from sheetconv.files import check_target, replacing
from sheetconv.inspect.fields import boxes, report
from sheetconv.inspect.fields.effective import Effective, Say
from sheetconv.inspect.fields.report import FieldRow
from sheetconv.sheet.field_sheet import FieldPage, Map, write_field_sheet
from sheetconv.xlsx.graft import graft

_TITLES = {
    "paths": ("How often each pixel occurs in the sums (paths)", "#E07B00"),
    "gradient": ("How much each pixel changes the unit (gradient, averaged over images)", "#6A3D9A"),
}


def add_sheet(
    book: Path, out: Path, found: Effective, table: Sequence[FieldRow], *, force: bool = False
) -> str:
    """Write a copy of `book` with one sheet more to `out` (the book itself with `force`); returns its name.

    All other parts of the file stay as they are. Raises `WorkbookError` for a book that is not complete, `OutputError`
    where `out` cannot be written.
    """
    check_target(out, force=force)
    with TemporaryDirectory() as folder, replacing(out, force=force) as temporary:
        donor = Path(folder, "sheet.xlsx")
        write_field_sheet(donor, _page(found, table))
        return graft(book, donor, temporary)


def _page(found: Effective, table: Sequence[FieldRow]) -> FieldPage:
    maps = [
        Map(title, np.atleast_2d(getattr(found, key)), colour, facts(found.say[key]))
        for key, (title, colour) in _TITLES.items()
    ]
    rows, columns = found.box if len(found.box) == 2 else ((0, 0), *found.box)
    unit = ",".join(map(str, found.unit))
    text = [
        f"The unit {unit} (channel, row, column) of the layer {found.layer} sees {boxes.text(found.box)}: the frame in the maps. "
        "A pixel outside cannot matter.",
        "Pixels near the centre of the frame occur in more of the sums, so they have more say.",
        f"Gradients are those of {found.images.source}; the unit has one in {found.active} of them.",
        *report.notes_of(table),
    ]
    lines = report.lines_of(table)
    here = next((k for k, row in enumerate(table) if row.layer == found.layer), -1)
    title = f"The receptive field of {found.layer}"
    return FieldPage(title, text, maps, (*rows, *columns), report.HEADER, lines, here)


def facts(say: Say | None) -> list[str]:
    """What is measured of a map, a line each."""
    if say is None:
        return ["0 everywhere: the unit is off in all images"]
    sigma = " × ".join(f"{s:.2f}" for s in say.sigma)
    fit = "flat, no Gaussian" if say.fit is None else f"R² = {say.fit:.2f}"
    return [
        f"inner half of the field: {say.inner:.1%} of the contribution (all equal: {say.even:.1%})",
        f"Gaussian: σ = {sigma} pixels, {fit}",
    ]
