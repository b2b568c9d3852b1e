"""What a page needs of a screen and of its readers, read from the file."""

import re
import zipfile
from pathlib import Path

import pytest

from sheetconv.building import Request, build

DRAWN = re.compile(r'<xdr:graphicFrame.*?<xdr:cNvPr [^>]*?(?:descr="([^"]*)")?/?>', re.DOTALL)
CHARTS = {"lesson": 7, "optimisers": 14, "simple-cnn": 1}


@pytest.fixture(scope="module", params=list(CHARTS))
def book(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    target = tmp_path_factory.mktemp("screen") / "book.xlsx"
    build(Request(target, request.param, dataset="builtin", verify=False))
    return request.param, target


def test_every_chart_has_an_alternative_text(book: tuple[str, Path]) -> None:
    name, path = book
    with zipfile.ZipFile(path) as parts:
        drawings = [n for n in parts.namelist() if re.fullmatch(r"xl/drawings/drawing\d+\.xml", n)]
        texts = [text for n in drawings for text in DRAWN.findall(parts.read(n).decode())]
        titles = [n for n in parts.namelist() if re.fullmatch(r"xl/charts/chart\d+\.xml", n)]
        named = [re.findall(r"<a:t>(.*?)</a:t>", parts.read(n).decode())[0] for n in titles]
    assert len(texts) == len(titles) >= CHARTS[name]
    for title in named:
        assert any(title in text and len(text) > len(title) + 10 for text in texts), (title, texts)
