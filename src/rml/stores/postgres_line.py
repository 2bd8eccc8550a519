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
from typing import TYPE_CHECKING, Any, Final

import attrs
import psycopg
from psycopg import generators
from psycopg.errors import DuplicatePreparedStatement, InvalidSqlStatementName, error_from_result
from psycopg.pq import ExecStatus, Format

from rml.stores.postgres_place import Place

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

# The types that statements use, as PostgreSQL numbers them in every database, and their bytes.
_OIDS: Final = {"bool": 16, "bytea": 17, "bigint": 20, "integer": 23, "text": 25}
_BYTES: Final = {"bool": 1, "bigint": 8, "integer": 4}

Value = bytes | str | int | None


@attrs.frozen(eq=False)
class Statement:
    """A statement with ``$1``, ``$2`` and so on of these types; ``~`` stands for the schema."""

    text: str
    types: tuple[str, ...]


class Line(psycopg.Connection[Any]):
    """See the module."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._names_kept: set[bytes] = set()
        self._keeps_plans = True

    def ask(
        self, place: Place, statement: Statement, values: Sequence[Value]
    ) -> list[tuple[bytes | None, ...]]:
        """Execute a statement, by itself or in the transaction, and return its rows unread.

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
        if self.closed:
            raise psycopg.OperationalError("the connection is closed")
        send(*arguments)
        result: PGresult
        (result,) = self.wait(generators.execute(self.pgconn))
        if result.status not in {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}:
            raise error_from_result(result)
        return result


@attrs.frozen
class _Form:
    """A statement in one schema, as it is sent."""

    name: bytes
    text: bytes
    oids: tuple[int, ...]
    formats: tuple[Format, ...]
    widths: tuple[int, ...]

    def raw(self, values: Sequence[Value]) -> list[bytes | None]:
        return [
            value
            if value is None or isinstance(value, bytes)
            else value.encode()
            if isinstance(value, str)
            else value.to_bytes(width, "big", signed=True)
            for value, width in zip(values, self.widths, strict=True)
        ]


@lru_cache(maxsize=256)
def _form(statement: Statement, place: Place) -> _Form:
    text = place.sql(statement.text).encode()
    return _Form(
        b"rml_" + sha256(text).hexdigest()[:32].encode(),
        text,
        tuple(_OIDS[name] for name in statement.types),
        (Format.BINARY,) * len(statement.types),
        tuple(_BYTES.get(name, 0) for name in statement.types),
    )


def _rows(result: PGresult) -> list[tuple[bytes | None, ...]]:
    columns = range(result.nfields)
    return [
        tuple(result.get_value(row, column) for column in columns) for row in range(result.ntuples)
    ]
