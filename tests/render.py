"""Pictures of a workbook as it prints: LibreOffice makes a PDF, pdftoppm one PNG for each page.

By hand: ``python tests/render.py BOOK FOLDER [SHEET …]``.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sheetconv.engines.libreoffice import LibreOffice


def render(book: Path, folder: Path, sheets: Sequence[str] | None = None, dpi: int = 100) -> list[Path]:
    """Write one PNG for each printed page of `book` (of `sheets` only, when given) into `folder`, in order.

    The pictures show the cached values: what a viewer sees that does not recalculate. Needs LibreOffice and
    pdftoppm (Debian: poppler-utils); raises `EngineError` or `RuntimeError` without.
    """
    pdftoppm = shutil.which("pdftoppm")
    if pdftoppm is None:
        raise RuntimeError("pdftoppm is not installed (Debian: apt install poppler-utils)")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        pdf = Path(temporary, "book.pdf")
        LibreOffice().save_pdf(book, pdf, sheets)
        pages = Path(temporary, "page")
        subprocess.run([pdftoppm, "-r", str(dpi), "-png", pdf, pages], check=True, timeout=300)
        made = sorted(Path(temporary).glob("page-*.png"))
        return [Path(shutil.move(png, folder / f"{book.stem}-{png.stem}.png")) for png in made]


if __name__ == "__main__":
    for picture in render(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or None):
        print(picture)
