"""A PgBouncer in transaction mode, where that program is installed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

_SETTINGS = """\
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
auth_type = any
pool_mode = transaction
default_pool_size = {size}
server_round_robin = 1
unix_socket_dir = {folder}
listen_addr =
listen_port = 6432
log_connections = 0
log_disconnections = 0
"""


@contextmanager
def pgbouncer(url: str, size: int) -> Iterator[str]:
    """Yield the URL of a ledger through a pooler with so many connections to its server.

    The server's user needs no password there. The pooler listens on a socket in a folder of its
    own, so that no port is taken.
    """
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("PgBouncer is not installed")
    parts = urlsplit(url)
    given = {name: values[0] for name, values in parse_qs(parts.query).items()}
    host, port = given.get("host", parts.hostname or "localhost"), parts.port or 5432
    with tempfile.TemporaryDirectory(prefix="rml-pgbouncer-") as folder:
        whose = parts.username or "postgres"
        settings = Path(folder, "pgbouncer.ini")
        settings.write_text(
            _SETTINGS.format(host=host, port=port, user=whose, size=size, folder=folder)
        )
        runs_as = None
        if os.geteuid() == 0:  # as root it does not run
            socket = Path(host, f".s.PGSQL.{port}")
            runs_as = socket.owner() if socket.exists() else "nobody"
            shutil.chown(folder, runs_as)
        with subprocess.Popen(
            [program, str(settings)], stderr=subprocess.PIPE, text=True, user=runs_as
        ) as running:
            try:
                assert running.stderr is not None
                said = "".join(_until_up(running.stderr))
                assert "process up" in said, said
                query = urlencode(given | {"host": folder, "port": "6432"})
                yield parts._replace(netloc=f"{whose}@", query=query).geturl()
            finally:
                running.kill()


def _until_up(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line
        if "process up" in line:
            return
