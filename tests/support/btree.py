"""Where in an SQLite file rows and index entries lie: every byte of a cell's payload, page by page.

As the file format describes it (https://sqlite.org/fileformat2.html, section 1.6). What is free, or
belongs to no table and no index, is left out.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

_INDEX_INTERIOR: Final = 2
_TABLE_INTERIOR: Final = 5
_INDEX_LEAF: Final = 10
_TABLE_LEAF: Final = 13
_INTERIOR: Final = frozenset({_INDEX_INTERIOR, _TABLE_INTERIOR})
_FILE_HEADER: Final = 100


def payloads(path: Path) -> dict[str, list[range]]:
    """Return by the name of each table and index where its payload lies in the file."""
    data = path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT name, rootpage FROM sqlite_master WHERE rootpage > 0"
        roots = [("sqlite_master", 1), *connection.execute(query)]
    return {name: list(_of_page(data, root)) for name, root in roots}


def _of_page(data: bytes, page: int) -> Iterator[range]:
    size = int.from_bytes(data[16:18], "big")
    start = (page - 1) * size
    header = start + (_FILE_HEADER if page == 1 else 0)
    kind = data[header]
    cells = header + (12 if kind in _INTERIOR else 8)
    count = int.from_bytes(data[header + 3 : header + 5], "big")
    for place in range(cells, cells + 2 * count, 2):
        cell = start + int.from_bytes(data[place : place + 2], "big")
        if kind in _INTERIOR:
            yield from _of_page(data, int.from_bytes(data[cell : cell + 4], "big"))
            cell += 4
        if kind != _TABLE_INTERIOR:
            length, cell = _varint(data, cell)
            if kind == _TABLE_LEAF:
                _, cell = _varint(data, cell)
            yield from _of_cell(data, cell, length, size, in_table=kind == _TABLE_LEAF)
    if kind in _INTERIOR:
        yield from _of_page(data, int.from_bytes(data[header + 8 : header + 12], "big"))


def _of_cell(data: bytes, cell: int, length: int, size: int, *, in_table: bool) -> Iterator[range]:
    """Yield where a payload lies: in its page, and in the pages that it overflows to."""
    most = size - 35 if in_table else (size - 12) * 64 // 255 - 23
    least = (size - 12) * 32 // 255 - 23
    here = length
    if length > most:
        here = least + (length - least) % (size - 4)
        here = here if here <= most else least
    yield range(cell, cell + here)
    left, link = length - here, cell + here
    while left > 0:
        start = (int.from_bytes(data[link : link + 4], "big") - 1) * size
        yield range(start + 4, start + 4 + min(left, size - 4))
        left, link = left - (size - 4), start


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Return a number of one to nine bytes, and where it ends."""
    value = 0
    for count in range(8):
        byte = data[place + count]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + count + 1
    return value << 8 | data[place + 8], place + 9
