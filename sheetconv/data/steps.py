"""The steps of reading a picture, as one picture: photo, paper removed, ink, cut, 28×28."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from sheetconv.data.photo import Steps

TITLES = ("photo", "paper removed", "ink", "cut", "28 by 28")
_HEIGHT, _MARGIN, _CAPTION = 240, 12, 24


def picture(steps: Sequence[Steps]) -> Image.Image:
    """One row of five pictures with titles for each image that was read."""
    rows = [[_scaled(panel) for panel in _panels(step)] for step in steps]
    widths = [max(row[column].width for row in rows) for column in range(len(TITLES))]
    size = sum(widths) + _MARGIN * (len(TITLES) + 1), (_HEIGHT + _CAPTION + _MARGIN) * len(rows) + _MARGIN
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        top, left = _MARGIN + number * (_HEIGHT + _CAPTION + _MARGIN), _MARGIN
        for title, panel, width in zip(TITLES, row, widths, strict=True):
            draw.text((left, top), title, "black", font_size=16)
            sheet.paste(panel, (left, top + _CAPTION))
            frame = (left, top + _CAPTION, left + panel.width - 1, top + _CAPTION + panel.height - 1)
            draw.rectangle(frame, outline="#B0B0B0")
            left += width + _MARGIN
    return sheet


def _panels(steps: Steps) -> list[np.ndarray]:
    """Each step in 0…1, ink dark on white as on paper but for the digit, which is as the network sees it."""
    rows, columns = np.flatnonzero(steps.cut.any(1)), np.flatnonzero(steps.cut.any(0))
    cut = steps.cut[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return [steps.photo, 1 - steps.flat, 1.0 - steps.ink, 1.0 - np.pad(cut, max(cut.shape) // 5), steps.digit]


def _scaled(panel: np.ndarray) -> Image.Image:
    image = Image.fromarray((np.clip(panel, 0, 1) * 255).astype(np.uint8)).convert("RGB")
    how = Image.Resampling.NEAREST if image.height < 100 else Image.Resampling.BOX
    return image.resize((max(1, round(image.width * _HEIGHT / image.height)), _HEIGHT), how)
