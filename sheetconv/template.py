"""Templates: TOML files that say which pages, networks, images and texts a workbook has."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import sheetconv
from sheetconv.errors import OutputError, TemplateError, UsageError
from sheetconv.files import check_source, replacing
from sheetconv.sheet.settings import Check, PageSettings, Template

MAX_BYTES = 1_000_000
MAX_PAGES = 100
MAX_TEXT = 5_000
SHEET_NAME = 31
# The template whose pages are the models of all pages: what another leaves out is taken from here, or where it has
# no such page from the first template that does.
MODEL = "lesson"
# The template whose pages a network gets that lists none of its own.
PLAIN = "conv-example"


def folder() -> Path:
    """Where the templates lie: inside the installed package, or at the top of a checkout."""
    inside = Path(sheetconv.__file__).parent / "templates"
    return inside if inside.is_dir() else Path(sheetconv.__file__).parents[1] / "templates"


def names() -> list[str]:
    """Names of the templates that come with sheetconv."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def summary(name: str) -> tuple[str, int]:
    """The title of a template that comes with sheetconv, and its number of pages, without checking the rest."""
    _, data = _read(folder() / f"{name}.toml")
    return str(data.get("title", "")), len(data.get("page", []))


def copy(name: str, directory: Path, *, force: bool = False) -> Path:
    """Write the template called `name` to `directory`, which is made if need be; returns the file's path.

    Raises `UsageError` for an unknown name, `OutputError` where a file of that name is there (without `force`).
    """
    if name not in names():
        raise UsageError(f"there is no template {name!r}; choose one of {', '.join(names())}")
    target = directory / f"{name}.toml"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {directory}: {error.strerror or error}") from error
    with replacing(target, force=force) as temporary:
        temporary.write_bytes((folder() / f"{name}.toml").read_bytes())
    return target


def load(name: str) -> Template:
    """The template called `name`, or the one in the file of that path.

    Raises `UsageError` for an unknown name, `TemplateError` (file, key, line) for a mistake in the file.
    """
    path = Path(name) if name.endswith(".toml") else folder() / f"{name}.toml"
    if not name.endswith(".toml") and name not in names():
        raise UsageError(
            f"there is no template {name!r}; choose one of {', '.join(names())} or give a .toml file"
        )
    text, data = _read(path)
    return _TemplateReader(path, text).template(data)


def of_network(title: str, model: str = "") -> Template:
    """The template of one network: read me, network, images."""
    return _TemplateReader(Path(title), "").template({"title": title, "model": model or title})


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    check_source(path, MAX_BYTES, TemplateError)
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise TemplateError(f"{path} is not TOML: {error}") from error


@cache
def _models() -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """The shared texts, and of each kind of page the first in the templates that come with sheetconv.

    The template that all pages are modelled on comes first; a kind that it lacks is modelled on another's page.
    """
    texts: dict[str, str] = {}
    pages: dict[str, dict[str, Any]] = {}
    for name in sorted(names(), key=lambda name: (name != MODEL, name != PLAIN, name)):
        _, data = _read(folder() / f"{name}.toml")
        texts = texts or data.get("texts", {})
        for page in data.get("page", []):
            pages.setdefault(page["kind"], page)
    return texts, pages


class _TemplateReader:
    """Checks a template's data and names the line of every mistake."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text

    def fail(self, message: str, key: str, page: int | None = None, table: str = "") -> TemplateError:
        return TemplateError(f"{self.path}, line {line_of(self.text, key, page, table)}: {message}")

    def template(self, data: Mapping[str, Any]) -> Template:
        kinds = {f.name: str(f.type) for f in fields(Template)}
        values = dict(data)
        for key, value in data.items():
            if key not in kinds:
                raise self.fail(f"there is no key {key!r}; keys are {', '.join(kinds)}", key)
            if key not in ("texts", "page"):
                self._plain(key, value, kinds[key])
        values["texts"] = self._texts(data.get("texts", {}), _models()[0], "texts", "texts", None)
        plain = _read(folder() / f"{PLAIN}.toml")[1]["page"] if values.get("model") else []
        values["page"] = self._pages(data.get("page", plain))
        if not values.get("model") and not values["page"]:
            raise TemplateError(
                f"{self.path}: the key model is missing; it names the network (or give [[page]] tables)"
            )
        return Template(**values)

    def _plain(self, key: str, value: Any, kind: str) -> None:
        wanted: type[Any] = {"str": str, "int": int, "bool": bool}.get(kind, list)
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise self.fail(f"{key} must be a {kind}, not {value!r:.60}", key)
        if wanted is list and not all(isinstance(v, str) for v in value):
            raise self.fail(f"{key} must be a list of texts", key)

    def _pages(self, pages: Any) -> list[PageSettings]:
        if not isinstance(pages, list) or not all(isinstance(p, dict) for p in pages):
            raise self.fail("pages are written as [[page]] tables", "page")
        if len(pages) > MAX_PAGES:
            raise TemplateError(f"{self.path}: {len(pages)} pages; a workbook may have {MAX_PAGES}")
        found = [self._page(page, number) for number, page in enumerate(pages)]
        taken: set[str] = set()
        for number, page in enumerate(found):
            if page.name.lower() in taken:
                raise self.fail(f"two pages are called {page.name!r}; give each its own name", "name", number)
            taken.add(page.name.lower())
        return found

    def _page(self, page: Mapping[str, Any], number: int) -> PageSettings:
        from sheetconv.pages import kinds

        known = kinds()
        kind = page.get("kind")
        if not isinstance(kind, str) or kind not in known:
            raise self.fail(
                f"there is no kind of page {kind!r:.40}; kinds are {', '.join(sorted(known))}", "kind", number
            )
        own: Mapping[str, Check] = known[kind].keys
        model = _models()[1].get(kind, {})
        checks: dict[str, Check] = {**_COMMON, **own}
        for key in page:
            if key not in checks and key not in ("kind", "labels"):
                keys = ", ".join([*_COMMON, "labels", *own])
                raise self.fail(f"a page of kind {kind} has no key {key!r}; keys are {keys}", key, number)
        made: dict[str, Any] = {"kind": kind, "options": {}}
        for key, check in checks.items():
            if key not in page and key not in model:
                continue
            try:
                value = check(page.get(key, model.get(key)))
            except ValueError as error:
                raise self.fail(f"{key} {error}", key, number) from error
            (made if key in _COMMON else made["options"])[key] = value
        made["labels"] = self._texts(
            page.get("labels", {}), model.get("labels", {}), "labels", "page.labels", number
        )
        made.setdefault("name", kind.capitalize())
        return PageSettings(**made)

    def _texts(
        self, given: Any, model: Mapping[str, str], key: str, table: str, page: int | None
    ) -> dict[str, str]:
        if not isinstance(given, dict):
            raise self.fail(f"{key} must be a table of texts", key, page)
        for name, value in given.items():
            if name not in model:
                raise self.fail(
                    f"{key} has no text {name!r}; texts are {', '.join(model)}", name, page, table
                )
            if not isinstance(value, str) or len(value) > MAX_TEXT:
                raise self.fail(
                    f"{name} must be a text of at most {MAX_TEXT} characters, not {value!r:.60}",
                    name,
                    page,
                    table,
                )
        return {**model, **given}


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise ValueError(f"must be a text of at most {MAX_TEXT} characters, not {value!r:.60}")
    return value


def _list(value: Any) -> list[str]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or len(found) > 20:
        raise ValueError("must be a text or a list of at most 20 texts")
    return [_text(v) for v in found]


def _name(value: Any) -> str:
    text = _text(value)
    if not 1 <= len(text) <= SHEET_NAME or re.search(r"[\[\]:*?/\\\x00-\x1f]", text) or text[0] in "'_":
        raise ValueError(
            f"must be a sheet's name: 1 to {SHEET_NAME} characters, none of []:*?/\\, not {text!r:.40}"
        )
    return text


_COMMON: dict[str, Check] = {
    "name": _name,
    "title": _text,
    "summary": _text,
    "text": _list,
    "questions": _list,
    "points": _list,
}


def line_of(text: str, key: str, page: int | None = None, table: str = "") -> int:
    """The line on which a key stands: at the top level, or in the page of that number (from 0), or in `table`.

    Without such a key it is the line of the table itself, or 1.
    """
    start = 1
    for line, number, path, name in _keys(text):
        if number != (-1 if page is None else page):
            continue
        if not name and path in (table, "page", ""):
            start = line
        if name == key and path == (table or ("" if page is None else "page")):
            return line
        if not name and path == key:
            return line
    return start


def _keys(text: str) -> Iterator[tuple[int, int, str, str]]:
    """(line, page number or -1, table, key or "" for the table's own line), passing over long texts."""
    page, path, inside = -1, "", ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not inside:
            if head := re.match(r"\s*\[+\s*([A-Za-z_][\w.-]*)\s*\]+\s*(?:#.*)?$", line):
                path = head[1]
                if path == "page":
                    page += 1
                elif not path.startswith("page"):
                    page = -1
                yield number, page, path, ""
            elif found := re.match(r"\s*[\"']?([\w-]+)[\"']?\s*=", line):
                yield number, page, path, found[1]
        for quotes in ('"""', "'''"):
            if line.count(quotes) % 2 and inside in ("", quotes):
                inside = "" if inside else quotes
                break
