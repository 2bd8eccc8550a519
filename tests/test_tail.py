"""`rml tail`: filters, following, and cursors that survive restarts."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import rml
from rml.cli import main

START = "2026-11-20T19:00:00Z"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger with one charge done, one in doubt with its incident, and a note."""
    path = tmp_path / "shop.db"
    clock = rml.FrozenClock(START)
    with rml.Ledger(path, clock=clock, origin="test/shop") as ledger:

        @rml.idempotent("payment.charge", key="payment", ledger=ledger)
        def charge(payment: str) -> None:
            if payment == "lost":
                raise TimeoutError

        charge("paid")
        with pytest.raises(TimeoutError):
            charge("lost")
        ledger.append("shop.note", world="RML1", facts={"text": "bell \x1b[2K"})
    return path


def run(path: Path, *args: str) -> Result:
    """Run `rml tail` on a ledger."""
    return CliRunner().invoke(main, ["tail", "--ledger", str(path), *args])


def indexes(result: Result) -> list[int]:
    """The entries of an answer in lines of JSON."""
    assert (0, "") == (result.exit_code, result.stderr)
    return [json.loads(line)["index"] for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("args", "kinds"),
    [
        (["--kind", "shop.note"], ["shop.note"]),
        (["--world", "rml-1"], ["shop.note"]),
        (["--operation", "payment.charge", "-n", "1"], ["effect.in_doubt"]),
        (["--incident", "inc-2026-0001 "], ["incident.opened", "effect.in_doubt"]),
        (["--incident", "INC-2026-0001", "--kind", "incident.opened"], ["incident.opened"]),
        (["--operation", "no.such"], []),
    ],
)
def test_conditions_select(path: Path, args: list[str], kinds: list[str]) -> None:
    """One or several, all of which hold."""
    result = run(path, "--json", *args)

    assert kinds == [entry["kind"] for entry in json.loads(result.stdout)]


def test_an_effect_is_told_from_its_neighbours(path: Path) -> None:
    """By its id."""
    with rml.Ledger(path, create=False) as ledger:
        effect = ledger.effects()[0].id

    assert [0, 1] == [
        entry["index"] for entry in json.loads(run(path, "--json", "--effect", effect).stdout)
    ]


def test_a_world_that_is_none_is_refused(path: Path) -> None:
    """In one line, with nothing on stdout."""
    result = run(path, "--world", "RML9")

    assert (2, "") == (result.exit_code, result.stdout)
    assert 1 == result.stderr.count("\n")


# -------------------------------------------------------------------------------------- cursors


def test_a_cursor_shows_what_is_new_since_the_last_time(path: Path, tmp_path: Path) -> None:
    """From the first entry on, each once, across runs."""
    cursor = ["--json", "--cursor", str(tmp_path / "seen.cursor")]

    assert ([*range(6)], []) == (indexes(run(path, *cursor)), indexes(run(path, *cursor)))
    with rml.Ledger(path, create=False) as ledger:
        ledger.append("shop.note", world="RML1")
    assert ([6], []) == (indexes(run(path, *cursor)), indexes(run(path, *cursor)))


def test_a_cursor_in_text_is_a_table(path: Path, tmp_path: Path) -> None:
    """With headings once, keys of effects, and nothing that moves a terminal's cursor."""
    args = ["--cursor", str(tmp_path / "seen.cursor")]

    lines = run(path, *args).stdout.splitlines()

    assert (7, "KIND" in lines[0]) == (len(lines), True)
    assert ("payment.charge paid" in lines[2], r"bell \x1b[2K" in lines[6]) == (True, True)
    assert lines[0].index("KIND") == lines[6].index("shop.note")
    assert "" == run(path, *args).stdout


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda cursor: cursor.write_text("5\n"), "holds no cursor, or a damaged one"),
        (
            lambda cursor: cursor.write_text(cursor.read_text().replace("\n6\n", "\n9\n")),
            "the cursor stands after 9 entries, and the ledger has 6: it was set back",
        ),
        (
            lambda cursor: cursor.write_text(cursor.read_text().replace("\n6\n", "\n5\n")),
            "the ledger's first 5 entries are not those that the cursor has seen",
        ),
        (
            lambda cursor: cursor.write_text(cursor.read_text().replace("test/", "other/")),
            "the cursor is of the ledger 'other/shop', and this is 'test/shop'",
        ),
    ],
    ids=["damaged", "beyond", "other entries", "other ledger"],
)
def test_a_cursor_that_does_not_fit_is_one_line(
    path: Path, tmp_path: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    """Status 2, and no entry is shown."""
    cursor = tmp_path / "seen.cursor"
    run(path, "--cursor", str(cursor))
    spoil(cursor)

    result = run(path, "--cursor", str(cursor))

    assert (2, "") == (result.exit_code, result.stdout)
    assert reason in result.stderr
    assert 1 == result.stderr.count("\n")


def test_a_number_and_a_cursor_contradict_each_other(path: Path, tmp_path: Path) -> None:
    """A cursor says where to begin."""
    result = run(path, "-n", "5", "--cursor", str(tmp_path / "seen.cursor"))

    assert (2, "contradict" in result.stderr) == (result.exit_code, True)


# ------------------------------------------------------------------------------------ following


class Tail:
    """`rml tail -f` in a process of its own."""

    def __init__(self, path: Path, *args: str) -> None:
        command = [sys.executable, "-m", "rml", "tail", "-f", "--ledger", str(path), *args]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def line(self) -> str:
        """Wait for one more line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def index(self) -> int:
        """Wait for one more entry in JSON."""
        return int(json.loads(self.line())["index"])

    def end(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        """End it; return its status, what it printed since, and what it complained of."""
        self.process.send_signal(how)
        printed, complaints = self.process.communicate(timeout=60)
        return self.process.returncode, printed, complaints


@pytest.fixture
def follow(path: Path) -> Iterator[Callable[..., Tail]]:
    """Start followers of the ledger; whatever happens, none is left running."""
    started: list[Tail] = []

    def start(*args: str) -> Tail:
        started.append(Tail(path, *args))
        return started[-1]

    yield start
    for one in started:
        with one.process as process:  # closes its pipes
            process.kill()


def test_following_goes_on_until_it_is_interrupted(path: Path, follow: Callable[..., Tail]) -> None:
    """The newest entries, then those of another process; Ctrl-C is a fine end."""
    tail = follow("-n", "1", "--json")
    assert 5 == tail.index()

    with rml.Ledger(path, create=False) as ledger:
        for expected in (6, 7):
            ledger.append("shop.note", world="RML1")
            assert expected == tail.index()

    assert (0, "", "") == tail.end()


def test_following_in_text_shows_what_matches(path: Path, follow: Callable[..., Tail]) -> None:
    """A heading, and lines under it."""
    tail = follow("--kind", "shop.note")
    assert ("KIND" in tail.line(), "shop.note" in tail.line()) == (True, True)

    with rml.Ledger(path, create=False) as ledger:
        ledger.append("shop.other", world="RML1")
        ledger.append("shop.note", world="RML1", facts={"text": "second"})

    assert "text=second" in tail.line()
    assert (0, "", "") == tail.end()


def test_a_follower_that_is_killed_goes_on_where_it_was(
    path: Path, tmp_path: Path, follow: Callable[..., Tail]
) -> None:
    """The line that was being written comes again at most; none is left out."""
    args = ("--json", "--cursor", str(tmp_path / "seen.cursor"))
    first = follow(*args)
    assert [*range(6)] == [first.index() for _ in range(6)]
    with rml.Ledger(path, create=False) as ledger:
        ledger.append("shop.note", world="RML1")
        assert 6 == first.index()
        first.end(signal.SIGKILL)
        ledger.append("shop.note", world="RML1")

    second = follow(*args)
    begin = second.index()

    assert begin in {6, 7}
    assert begin == 7 or second.index() == 7
    assert (0, "", "") == second.end()


def test_a_reader_who_goes_away_ends_a_follower(path: Path, follow: Callable[..., Tail]) -> None:
    """`rml tail -f | head -1`: it ends with the next entry, and says nothing."""
    tail = follow("-n", "1", "--json")
    assert 5 == tail.index()
    assert tail.process.stdout is not None
    tail.process.stdout.close()
    with rml.Ledger(path, create=False) as ledger:
        ledger.append("shop.note", world="RML1")

    assert 0 == tail.process.wait(60)
    assert tail.process.stderr is not None
    assert "" == tail.process.stderr.read()


def test_an_interrupt_is_no_end_of_what_has_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only `-f` is ended by Ctrl-C as it should be; anything else was cut short: status 130."""

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["rml.cli.tail"], "say_json_on", interrupted)
    statuses = [
        run(path, "--json", *more, "--cursor", str(path.with_suffix(".cursor"))).exit_code
        for more in ([], ["-f"])
    ]

    assert [130, 0] == statuses
