"""What the exceptions of psycopg say about a transaction."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

import psycopg
import psycopg.errors
import pytest
from hostile import (
    BROKEN,
    HOST,
    Behaviour,
    Ending,
    HostileServer,
    failure,
    refusing,
    reset_unread,
    verdict,
)
from http_verdicts import Serve

from rml.verdict import happened_of

OPTIONS: dict[str, Any] = {
    "host": HOST,
    "user": "me",
    "sslmode": "disable",
    "gssencmode": "disable",
    "connect_timeout": 60,
}


def commit(port: int) -> None:
    """Connect, and commit."""
    connection = psycopg.connect(port=port, autocommit=True, **OPTIONS)
    try:
        connection.execute("COMMIT")
    finally:
        connection.close()


def commit_async(port: int) -> None:
    """Connect and commit, asynchronously."""

    async def work() -> None:
        connection = await psycopg.AsyncConnection.connect(port=port, autocommit=True, **OPTIONS)
        try:
            await connection.execute("COMMIT")
        finally:
            await connection.close()

    asyncio.run(work())


CALLS = pytest.mark.parametrize("call", [commit, commit_async])


def message(kind: bytes, content: bytes) -> bytes:
    """Return a message of PostgreSQL's protocol (version 3, section 54.7)."""
    return kind + struct.pack("!i", len(content) + 4) + content


READY = message(b"Z", b"I")
WELCOME = message(b"R", bytes(4)) + READY


def database(ending: Ending, *, effect: bool = False) -> Behaviour:
    """Let a client in, carry out its first statement or not, and end it so."""

    def behave(server: HostileServer, connection: socket.socket) -> None:
        connection.recv(10_000)  # who it is
        connection.sendall(WELCOME)
        if connection.recv(10_000).startswith(b"Q"):
            server.effects += effect
            ending(connection)

    return behave


def refusal(code: str) -> bytes:
    """Return the error of this SQLSTATE."""
    return message(b"E", f"SERROR\0VERROR\0C{code}\0Mno\0\0".encode())


@CALLS
def test_a_database_that_is_down_did_nothing(call: Callable[..., None]) -> None:
    """There is no connection to send a statement over."""
    with refusing() as url:
        assert verdict(None, call, int(url.split(":")[2].split("/")[0])) is False


@CALLS
@pytest.mark.parametrize("code", [None, "28P01", "53300"])
def test_a_database_that_lets_nobody_in_did_nothing(
    call: Callable[..., None], code: str | None, serve: Serve
) -> None:
    """It cuts the connection, knows no such password, or has too many clients."""

    def refuse(_server: HostileServer, connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(refusal(code or ""))
        connection.shutdown(socket.SHUT_RDWR)

    server = serve(refuse if code else reset_unread)
    assert verdict(server, call, server.port) is False


@CALLS
@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize("ending", ["reset", "hang up"])
def test_a_connection_that_breaks_leaves_it_unknown(
    call: Callable[..., None], ending: str, effect: bool, serve: Serve
) -> None:
    """The statement was a COMMIT, and it was carried out or not."""
    server = serve(database(BROKEN[ending][0], effect=effect))
    error = failure(call, server.port)
    assert isinstance(error, psycopg.OperationalError)
    assert happened_of(error) is None


@CALLS
@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("40001", psycopg.errors.SerializationFailure),
        ("40P01", psycopg.errors.DeadlockDetected),
        ("23502", psycopg.errors.NotNullViolation),
        ("23503", psycopg.errors.ForeignKeyViolation),
        ("23514", psycopg.errors.CheckViolation),
        ("23505", psycopg.errors.UniqueViolation),
        ("23P01", psycopg.errors.ExclusionViolation),
        ("40003", psycopg.errors.StatementCompletionUnknown),
        ("57014", psycopg.errors.QueryCanceled),
        ("57P01", psycopg.errors.AdminShutdown),
        ("42P01", psycopg.errors.UndefinedTable),
    ],
)
def test_what_the_database_answers(
    call: Callable[..., None],
    code: str,
    *,
    raised: type[BaseException],
    serve: Serve,
) -> None:
    """It has rolled the transaction back, which tells nothing of what was done before it."""
    server = serve(database(lambda c: c.sendall(refusal(code) + READY), effect=True))
    error = failure(call, server.port)
    assert type(error) is raised
    assert happened_of(error) is None
