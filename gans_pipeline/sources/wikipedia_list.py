"""What the page 'List of largest cities' says: which cities there are, and their articles."""

import re
from typing import NamedTuple

import pandas as pd
from bs4 import Tag

from gans_pipeline.sources import wikipedia_grammar as grammar
from gans_pipeline.sources.http import MalformedError
from gans_pipeline.sources.wikipedia_pages import (
    PROVIDER,
    cells_of,
    clean,
    country_of,
    lines_of,
    linked_title,
    open_page,
    rows_of,
    text_of,
)

LIST_COLUMNS = {"title": "str", "name": "str", "country": "str", "people": "Int64", "year": "Int64"}
_ESTIMATES = re.compile(r"\b(?P<year>\d{4})\b.*\bpopulation (?:estimate|projection)s?", re.IGNORECASE)
_COUNTRY_HEADER = re.compile(r"(?:country|nation|sovereign state)\b.*", re.IGNORECASE)
_MOST_SPANNED = 1000


def parse_largest_cities(payload: object) -> pd.DataFrame:
    """Return the table of 'List of largest cities', in its order: one row for each city that has an article.

    Columns: ``title`` of the article (the link's target, the key), ``name`` and ``country`` as printed, ``people`` by
    the United Nations' estimate, and its ``year``; both are missing in revisions before 2019, which print no such
    estimate. ``payload`` is the page as HTML or a decoded answer of ``action=parse``. Raises MalformedError if the page
    has no such table, or one in which no city or no figure can be read.
    """
    page = open_page(payload)
    clean(page.html)  # once: table by table, 300 tables in each other took 11 seconds
    for table in page.html.find_all("table"):
        grid = _grid(table)
        columns = _list_columns(grid)
        if columns is not None:
            return _read_list(grid, columns, page.title or "List of largest cities")
    raise MalformedError(PROVIDER, f"{page.title}: no table with the columns City, Country and population estimates")


class _ListColumns(NamedTuple):
    city: int
    country: int
    people: int | None
    year: int | None


def _grid(table: Tag) -> list[list[Tag]]:
    """Return the table with every cell repeated in all rows and columns that it spans."""
    grid: list[list[Tag]] = []
    pending: dict[int, tuple[int, Tag]] = {}
    for row in rows_of(table):
        line: list[Tag] = []
        cells = iter(cells_of(row))
        while True:
            if len(line) in pending:
                rows_left, cell = pending.pop(len(line))
                if rows_left > 1:
                    pending[len(line)] = rows_left - 1, cell
                line.append(cell)
                continue
            next_cell = next(cells, None)
            if next_cell is None:
                break
            for _ in range(_span(next_cell, "colspan")):
                if _span(next_cell, "rowspan") > 1:
                    pending[len(line)] = _span(next_cell, "rowspan") - 1, next_cell
                line.append(next_cell)
        grid.append(line)
    return grid


def _span(cell: Tag, name: str) -> int:
    value = str(cell.get(name, "1")).strip()
    return min(max(int(value), 1), _MOST_SPANNED) if value.isascii() and value.isdigit() else 1


def _is_header(line: list[Tag]) -> bool:
    return bool(line) and all(cell.name == "th" for cell in line)


def _list_columns(grid: list[list[Tag]]) -> _ListColumns | None:
    """Return where the columns are, None for another table: City, Country, and estimates or (to 2018) City proper."""
    headers = [[text_of(cell) for cell in line] for line in grid if _is_header(line)][:2]
    names = [(column, name) for line in headers for column, name in enumerate(line)]
    city = next((column for column, name in names if re.fullmatch(r"city(?: name)?", name, re.I)), None)
    country = next((column for column, name in names if _COUNTRY_HEADER.fullmatch(name)), None)
    estimates = next(
        ((column, int(found["year"])) for column, name in names if (found := _ESTIMATES.search(name))), None
    )
    if city is None or country is None:
        return None
    if estimates is None and not any(re.fullmatch("city proper", name, re.I) for _, name in names):
        return None
    return _ListColumns(city, country, *(estimates or (None, None)))


def _read_list(grid: list[list[Tag]], columns: _ListColumns, page: str) -> pd.DataFrame:
    rows: dict[str, tuple[str, str, int | None]] = {}
    for line in grid:
        if _is_header(line) or len(line) <= max(columns.city, columns.country, columns.people or 0):
            continue
        link = _article_link(line[columns.city])
        if link is None:
            continue
        title, name = link
        country = country_of(line[columns.country])
        people = None if columns.people is None else grammar.people(lines_of(line[columns.people]))[0]
        rows.setdefault(title, (name, country or "", people))
    if not rows:
        raise MalformedError(PROVIDER, f"{page}: no city in the table has a link to its article")
    if columns.people is not None and all(people is None for _, _, people in rows.values()):
        raise MalformedError(PROVIDER, f"{page}: no population can be read in the column of the estimates")
    records = [(title, *row, columns.year) for title, row in rows.items()]
    return pd.DataFrame(records, columns=list(LIST_COLUMNS)).astype(LIST_COLUMNS)


def _article_link(cell: Tag) -> tuple[str, str] | None:
    """Return title and text of the first link to an article; a flag's link has no text."""
    for link in cell.find_all("a", href=True):
        title, text = linked_title(str(link["href"])), text_of(link)
        if title and text:
            return title, text
    return None
