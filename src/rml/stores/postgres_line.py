"""A connection to the server that sends what a ledger does over and over as it is, in one message.

psycopg adapts values to types at every execution, and asks the server to read the text anew; that
costs more than what the text does. A statement of known types needs neither: its values travel in
PostgreSQL's binary format, and the server keeps its plan under a name.

The name is made from the text. So a pooler may give each transaction another connection: a name
stands for one text, whoever prepared it, and where it is missing the text itself is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

import attrs
import psycopg
from psycopg import generators
from psycopg.errors import DuplicatePreparedStatement, InvalidSqlStatementName, error_from_result
from psycopg.pq import ExecStatus, Format

from rml.stores.postgres_place import Place

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

_FINE: Final = frozenset((ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK))

Value = bytes | str | int | None | Sequence[bytes | str | int | None]


@attrs.frozen(eq=False)
class Statement:
    """A statement with ``$1``, ``$2`` and so on of these types; ``~`` stands for the schema."""

    text: str
    types: tuple[str, ...]


class Line(psycopg.Connection[Any]):
    """See the module.

    Attributes:
        at_hand_until: when it is to go back to its pool, in monotonic seconds.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.at_hand_until: float = 0.0
        self._names_kept: set[bytes] = set()
        self._keeps_plans = True

    def ask(
        self, place: Place, statement: Statement, values: Sequence[Value]
    ) -> list[tuple[bytes | None, ...]]:
        """Execute a statement that is a transaction by itself, and return its rows unread.

        Raises:
            psycopg.Error: what the server said; or that it is gone.
        """
        form = _form(statement, place)
        raw, server = form.raw(values), self.pgconn
        if self._keeps_plans:
            self._prepare(form)
            try:
                return _rows(
                    self._answer(
                        server.send_query_prepared, form.name, raw, form.formats, Format.BINARY
                    )
                )
            except InvalidSqlStatementName:  # a pooler went on over another connection
                self._keeps_plans = False
        return _rows(
            self._answer(
                server.send_query_params, form.text, raw, form.oids, form.formats, Format.BINARY
            )
        )

    def _prepare(self, form: _Form) -> None:
        if form.name not in self._names_kept:
            with suppress(DuplicatePreparedStatement):  # by another client of a pooler
                self._answer(self.pgconn.send_prepare, form.name, form.text, form.oids)
            self._names_kept.add(form.name)

    def _answer(self, send: Callable[..., None], *arguments: Any) -> PGresult:
        """Send something, and return the one answer to it."""
        send(*arguments)
        return _only(self.wait(generators.execute(self.pgconn)))

    def tell(self, text: str) -> None:
        """Execute a statement that has neither values nor rows, such as the end of a transaction.

        Raises:
            psycopg.Error: what the server said; or that it is gone.
        """
        self._answer(self.pgconn.send_query, text.encode())

    def start(self, place: Place, statement: Statement, values: Sequence[Value]) -> None:
        """Send a statement; nothing else may be asked until :meth:`finish`."""
        form, server = _form(statement, place), self.pgconn
        server.send_query_params(
            form.text, form.raw(values), form.oids, form.formats, Format.BINARY
        )
        self.wait(generators.send(server))

    def run(
        self, place: Place, statement: Statement, values: Sequence[Value]
    ) -> list[tuple[bytes | None, ...]]:
        """Execute a statement that the server need not keep, and return its rows unread.

        It is right for a transaction, which a name that is missing behind a pooler would end.

        Raises:
            psycopg.Error: what the server said; or that it is gone.
        """
        self.start(place, statement, values)
        return self.finish()

    def finish(self) -> list[tuple[bytes | None, ...]]:
        """Wait for the answer to what was started, and return its rows unread.

        Raises:
            psycopg.Error: what the server said; or that it is gone.
        """
        return _rows(_only(self.wait(generators.fetch_many(self.pgconn))))


def _only(results: list[PGresult]) -> PGresult:
    result = results[-1]  # a backend that is ended right after an answer adds why, and that counts
    if result.status not in _FINE:
        raise error_from_result(result)
    return result


@attrs.frozen
class _Type:
    """A type of PostgreSQL's: its number in every database, and its values' binary form."""

    oid: int
    dump: Callable[[Any], bytes]


def _array(oid: int, item: _Type) -> _Type:
    """Return the type of arrays of one dimension."""

    def dump(values: Sequence[Any]) -> bytes:
        parts = [_ARRAY.pack(1, 1, item.oid, len(values), 1)]
        for value in values:
            if value is None:
                parts.append(_NULL)
            else:
                data = item.dump(value)
                parts += (_LENGTH.pack(len(data)), data)
        return b"".join(parts)

    return _Type(oid, dump)


# How many dimensions an array has, whether NULLs, its items' type, how many, and the first's place.
_ARRAY: Final = Struct(">5i")
_LENGTH: Final = Struct(">i")
_NULL: Final = _LENGTH.pack(-1)
_ITEMS: Final = {
    "bytea": _Type(17, bytes),
    "bigint": _Type(20, Struct(">q").pack),
    "integer": _Type(23, Struct(">i").pack),
    "text": _Type(25, str.encode),
}
_TYPES: Final = _ITEMS | {
    "bytea[]": _array(1001, _ITEMS["bytea"]),
    "text[]": _array(1009, _ITEMS["text"]),
    "bigint[]": _array(1016, _ITEMS["bigint"]),
}


@attrs.frozen
class _Form:
    """A statement in one schema, as it is sent."""

    name: bytes
    text: bytes
    oids: tuple[int, ...]
    formats: tuple[Format, ...]
    dumps: tuple[Callable[[Any], bytes], ...]

    def raw(self, values: Sequence[Value]) -> list[bytes | None]:
        return [
            None if value is None else dump(value)
            for value, dump in zip(values, self.dumps, strict=True)
        ]


@lru_cache(maxsize=256)
def _form(statement: Statement, place: Place) -> _Form:
    text = place.sql(statement.text).encode()
    types = [_TYPES[name] for name in statement.types]
    return _Form(
        b"rml_" + sha256(text).hexdigest()[:32].encode(),
        text,
        tuple(one.oid for one in types),
        (Format.BINARY,) * len(types),
        tuple(one.dump for one in types),
    )


def _rows(result: PGresult) -> list[tuple[bytes | None, ...]]:
    value, columns = result.get_value, range(result.nfields)
    return [tuple([value(row, column) for column in columns]) for row in range(result.ntuples)]


def number(raw: bytes) -> int:
    """Return an integer that the server sent in its binary format."""
    return int.from_bytes(raw, "big", signed=True)
