"""The command line as a process: interrupts, pipes, terminals."""

import contextlib
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import rml


def process(*args: str, **options: object) -> subprocess.Popen[bytes]:
    """Start `python -m rml`, in pipes of no known width (readline, if loaded, sets COLUMNS)."""
    command = [sys.executable, "-m", "rml", *args]
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A ledger whose tail is longer than any pipe holds."""
    path = tmp_path / "large.db"
    with rml.Ledger(path) as ledger:
        note = {"detail": "long " * 500}
        ledger.write(
            lambda draft: [draft.append("shop.note", world="RML1", facts=note) for _ in range(400)]
        )
    return path


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["text", "json"])
def test_a_reader_who_goes_away_is_no_trouble(large: Path, more: list[str]) -> None:
    """`rml tail | head`: silent, and the status is that of the answer."""
    with process(
        "tail", "-n", "400", "--ledger", str(large), *more, stdout=subprocess.PIPE
    ) as run_:
        assert run_.stdout is not None
        assert run_.stderr is not None
        run_.stdout.read(1)
        run_.stdout.close()

        assert (b"", 0) == (run_.stderr.read(), run_.wait())


def test_a_broken_pipe_does_not_hide_a_no(large: Path) -> None:
    """`rml verify` ends with status 1 even if nobody reads why."""
    with contextlib.closing(sqlite3.connect(large)) as connection:
        connection.execute("DROP TRIGGER entries_no_update")
    read, write = os.pipe()
    os.close(read)
    with process("verify", "--ledger", str(large), stdout=write) as run_:
        os.close(write)
        assert run_.stderr is not None

        assert (b"", 1) == (run_.stderr.read(), run_.wait())


def test_help_into_a_broken_pipe_is_silent() -> None:
    """What click itself prints is no exception."""
    read, write = os.pipe()
    os.close(read)
    with process("--help", stdout=write) as run_:
        os.close(write)
        assert run_.stderr is not None

        assert (b"", 0) == (run_.stderr.read(), run_.wait())


def test_an_interrupt_ends_without_a_traceback(large: Path) -> None:
    """Ctrl-C while the output is stuck in a pipe: status 130."""
    with process("tail", "-n", "400", "--ledger", str(large), stdout=subprocess.PIPE) as run_:
        assert run_.stdout is not None
        assert run_.stderr is not None
        run_.stdout.read(1)  # it is writing now, and cannot end before more is read
        run_.send_signal(signal.SIGINT)
        said = run_.stderr.read()

        assert (130, b"rml: interrupted\n") == (run_.wait(), said)


INTERRUPTED_IN = """
import sys
module = sys.argv[1]
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
from rml.__main__ import run
sys.argv[1:] = ["--help"]
run()
"""


@pytest.mark.parametrize("module", ["click", "rml.cli", "rml.ledger.ledger", "rml.lint.run"])
def test_an_interrupt_during_imports_ends_without_a_traceback(module: str) -> None:
    """They take the better part of a short command."""
    command = [sys.executable, "-c", INTERRUPTED_IN, module]
    ended = subprocess.run(command, capture_output=True, check=False)

    assert (130, b"", b"rml: interrupted\n") == (ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_a_full_disk_is_told_once(large: Path) -> None:
    """Output that cannot be written is no fine answer."""
    with Path("/dev/full").open("wb") as full:
        with process("tail", "--ledger", str(large), stdout=full) as run_:
            assert run_.stderr is not None
            said = run_.stderr.read().decode()

        assert 2 == run_.returncode
    assert re.fullmatch(r"rml: cannot write the output: No space left on device\n", said)


def on_terminal(*args: str, stream: str, **env: str) -> str:
    """Run `rml` with a stream on a terminal of 80 columns; return what it showed there."""
    seen, shown = pty.openpty()
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: shown}
    surroundings = {"PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "80", **env}
    command = [sys.executable, "-m", "rml", *args]
    with subprocess.Popen(command, env=surroundings, **streams):  # type: ignore[call-overload]
        os.close(shown)
        parts = []
        with contextlib.suppress(OSError):  # Linux: the terminal's other end is gone
            while part := os.read(seen, 4096):
                parts.append(part)
    os.close(seen)
    return b"".join(parts).decode()


def test_colours_are_for_terminals_that_want_them(tmp_path: Path) -> None:
    """On a terminal a state has a colour; NO_COLOR and a dumb terminal have none."""
    args = ["effects", "--ledger", str(tmp_path / "doubt.db")]
    with rml.Ledger(tmp_path / "doubt.db") as ledger:

        @rml.idempotent("payment.charge", key="key", ledger=ledger)
        def charge(key: str) -> None:
            raise TimeoutError(key)

        with contextlib.suppress(TimeoutError):
            charge("pay-1")

    assert "\x1b[33min_doubt" in on_terminal(*args, stream="stdout")
    assert "\x1b" not in on_terminal(*args, stream="stdout", NO_COLOR="1")
    assert "\x1b" not in on_terminal(*args, stream="stdout", TERM="dumb")
    with process(*args, stdout=subprocess.PIPE) as run_:
        assert run_.stdout is not None
        assert b"\x1b" not in run_.stdout.read()


def test_verify_shows_its_progress_on_a_terminal(large: Path) -> None:
    """A bar stands on stderr for whoever watches, and nothing there otherwise."""
    assert "100%" in on_terminal("verify", "--ledger", str(large), stream="stderr")
    with process("verify", "--ledger", str(large), stdout=subprocess.DEVNULL) as run_:
        assert run_.stderr is not None
        assert b"" == run_.stderr.read()


def test_text_survives_a_terminal_of_a_narrow_encoding(tmp_path: Path) -> None:
    """Where the encoding has no character for a recorded text, its escape is shown."""
    path = tmp_path / "wide.db"
    with rml.Ledger(path) as ledger:
        ledger.append("shop.note", world="RML1", facts={"detail": "Gr\u00f6\u00dfe \u4e2d"})
    command = [sys.executable, "-m", "rml", "tail", "--ledger", str(path)]
    env = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    finished = subprocess.run(command, env=env, capture_output=True, check=False)

    assert (0, b"") == (finished.returncode, finished.stderr)
    assert "Gr\u00f6\u00dfe \\u4e2d" in finished.stdout.decode("latin-1")
