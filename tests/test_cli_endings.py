"""How the command line ends: exit statuses, one clear line, nothing harmed, nothing injected."""

import contextlib
import json
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import rml
from rml.cli import main
from rml.demo import story
from rml.incident.casebook import Casebook

NO_EFFECT = "ef_" + 32 * "0"
NO_ENTRY = "00000000-0000-7000-8000-000000000000"
READING = [
    ["verify"],
    ["tail"],
    ["show", "0"],
    ["effects"],
    ["cases"],
    ["case", "INC-2026-0001"],
]
WHAT = ["resolve", NO_EFFECT, "--version", "2"]
DECISION = [*WHAT, "--happened", "--by", "ada", "--reason", "seen", "--no-result"]


def named(args: list[str]) -> str:
    """A command line as a test's id."""
    return " ".join(args)


def run(*args: str, **env: str) -> Result:
    """Run a command line in this process."""
    return CliRunner().invoke(main, args, env=env, prog_name="rml")


def assert_could_not_tell(result: Result, said: str) -> None:
    """Status 2, nothing on stdout, and one line on stderr that says why."""
    assert (2, "") == (result.exit_code, result.stdout)
    assert re.fullmatch(rf"rml[^\n]*{said}[^\n]*\n", result.stderr), result.stderr


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger of a few entries in a folder of its own."""
    path = tmp_path / "here" / "small.db"
    path.parent.mkdir()
    with rml.Ledger(path) as small:
        for number in range(3):
            small.append("shop.note", world="RML1", facts={"number": number})
    return path


# Nothing there, or something else ---------------------------------------------------------------


def missing(path: Path) -> None:
    """Nothing at all."""
    path.unlink()


def empty(path: Path) -> None:
    """A file without a byte."""
    path.write_bytes(b"")


def text(path: Path) -> None:
    """Somebody's notes."""
    path.write_text("Dear diary,\n" * 500, encoding="utf-8")


def foreign(path: Path) -> None:
    """Somebody else's SQLite database."""
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE diary (page)")


def newer(path: Path) -> None:
    """A ledger of a later release."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def folder(path: Path) -> None:
    """A folder."""
    path.unlink()
    path.mkdir()


def homeless(path: Path) -> None:
    """A path in a folder that does not exist."""
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("args", [*READING, DECISION], ids=named)
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (missing, "there is no ledger at"),
        (empty, "is empty, so no rml ledger"),
        (text, "is no SQLite database"),
        (foreign, "is an SQLite database but no rml ledger"),
        (newer, "upgrade rml"),
        (folder, "is a folder"),
        (homeless, "there is no ledger at"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_no_ledger_is_named_and_left_alone(
    ledger: Path, spoil: Callable[[Path], None], said: str, args: list[str]
) -> None:
    """One line, status 2, no byte changed, no file left beside it; with and without --json."""
    (ledger.parent / "small.db.lock").unlink(missing_ok=True)
    spoil(ledger)
    before = ledger.read_bytes() if ledger.is_file() else None

    for more in ([], ["--json"]):
        assert_could_not_tell(run(*args, *more, "--ledger", str(ledger)), said)

    assert before == (ledger.read_bytes() if ledger.is_file() else None)
    if ledger.parent.exists():
        assert {ledger.name} >= {path.name for path in ledger.parent.iterdir()}


@pytest.mark.parametrize("args", [*READING, DECISION], ids=named)
def test_without_a_ledger_the_way_out_is_named(args: list[str]) -> None:
    """No option and no variable: both are offered."""
    said = "which ledger[?] give --ledger PATH_OR_URL, or set RML_LEDGER"
    assert_could_not_tell(run(*args), said)
    assert_could_not_tell(run(*args, RML_LEDGER=""), said)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("", "a ledger is named by a path or a URL"),
        ("memory:", "lives in its own process"),
        ("nosuch://shop", "no store knows the scheme"),
        ("/dev/null", "is a device or a pipe; a ledger is one file"),
    ],
)
def test_a_place_that_cannot_be_is_refused(place: str, said: str) -> None:
    """The option is believed, even where it is wrong."""
    assert_could_not_tell(run("tail", "--ledger", place), said)


def in_doubt(ledger: rml.Ledger, text: str = "") -> str:
    """The id of an effect of which nobody knows."""

    @rml.idempotent("payment.charge", key="key", facts=("text",), ledger=ledger)
    def charge(key: str, text: str) -> None:
        raise TimeoutError(text)

    with contextlib.suppress(TimeoutError):
        charge("pay-1", text)
    return ledger.in_doubt()[0].id


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything: run the suite as a user")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_read_only_ledger_is_read_or_refused_in_one_line(ledger: Path, what: str) -> None:
    """Reading may work or not, as SQLite can; deciding cannot, and says so."""
    with rml.Ledger(ledger) as shop:
        effect = in_doubt(shop)
    (ledger if what == "file" else ledger.parent).chmod(0o444 if what == "file" else 0o555)
    try:
        read = run("tail", "--ledger", str(ledger))
        written = run("resolve", effect, *DECISION[2:], "--ledger", str(ledger))
    finally:
        ledger.parent.chmod(0o755)

    assert 0 == read.exit_code or "is read-only" in read.stderr
    assert_could_not_tell(written, "is read-only")


def test_a_busy_ledger_is_said_to_be_busy(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision waits for other writers, but not for ever; reading does not wait."""
    monkeypatch.setattr(sys.modules["rml.cli.place"], "WAIT_SECONDS", 0.01)
    place = ["--ledger", str(ledger)]

    with rml.Ledger(ledger) as other:
        decided, read = other.write(lambda _: (run(*DECISION, *place), run("tail", *place)))

    assert_could_not_tell(decided, "stayed busy")
    assert 0 == read.exit_code


# What is not there, and what is asked wrongly ---------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["show", NO_ENTRY], "no entry"),
        (["show", NO_EFFECT], "no effect"),
        (["show", "INC-2026-0009"], "INC-2026-0009"),
        (["show", "3"], "there is no entry 3: the ledger has 3"),
        (["show", "pay-42"], "is no entry's id or place"),
        (["show", "\u00b2"], "is no entry's id or place"),
        (["show", "ef_123"], "is no entry's id or place"),
        (["case", "INC-2026-0009"], "INC-2026-0009"),
        (["case", "INC-2026-0009", "--yaml"], "INC-2026-0009"),
        (DECISION, "no effect"),
        (["show"], "Missing argument"),
        (["tail", "-n", "many"], "'many' is not a valid integer"),
        (["tail", "-n", "-1"], "-1 is not in the range"),
        (["tail", "--kind", "Effect"], "kind 'Effect' must be dotted lower-case words"),
        (["tail", "--nonsense"], "No such option"),
        (["nonsense"], "No such command"),
        (["verify", "small.db", "other.db"], "unexpected extra argument"),
        (["effects", "--state", "lost"], "'lost' is not one of"),
        (["effects", "--in-doubt", "--state", "done"], "contradict"),
        (["effects", "--since", "yesterday"], "is no time such as"),
        (["effects", "--since", "999999w"], "is no time such as"),
        (["effects", "--since", "0001-01-01T00:00+14:00"], "is no time such as"),
        (["cases", "--status", "lost"], "'lost' is not one of"),
        (["case", "INC-2026-0001", "--yaml", "--json"], "choose one"),
        ([*WHAT, "--by", "ada", "--reason", "seen"], "say one of --happened"),
        ([*DECISION, "--did-not-happen"], "say one of --happened"),
        ([*WHAT, "--happened", "--reason", "seen"], "--by"),
        ([*WHAT, "--happened", "--by", "ada"], "--reason"),
        (["resolve", NO_EFFECT, *DECISION[4:]], "--version"),
        ([*DECISION, "--result", "{"], "--result"),
        (
            [*WHAT, "--did-not-happen", *DECISION[5:], "--result", "1"],
            "--result goes with --happened",
        ),
        (DECISION[:-1], "say one of --result JSON"),
        ([*DECISION, "--result", "1"], "say one of --result JSON"),
        (["demo", "--out", ""], "it is empty; name a folder"),
        ([*DECISION, "--reason", " "], "needs a reason"),
        ([*DECISION, "--by", ""], "by has 0 characters"),
    ],
    ids=lambda value: named(value) if isinstance(value, list) else "",
)
def test_a_wrong_question_gets_one_clear_line(ledger: Path, args: list[str], said: str) -> None:
    """Status 2, with the word that was wrong."""
    assert_could_not_tell(run(*args, RML_LEDGER=str(ledger)), said)


def test_what_is_not_in_doubt_is_not_decided(ledger: Path) -> None:
    """A second decision is refused, with the state that the first one made."""
    with rml.Ledger(ledger) as shop:
        effect = in_doubt(shop)
    args = ["resolve", effect, *DECISION[2:], "--ledger", str(ledger)]

    assert 0 == run(*args).exit_code
    assert_could_not_tell(run(*args), f"{effect} is done, not in doubt")


def test_a_pipe_of_somebody_elses_is_no_fine_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a reader of stdout may go away; the gateway of the demonstration may not."""

    def break_off(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(story, "run", break_off)
    assert_could_not_tell(run("demo"), "went away in mid-story")


def test_a_bug_is_one_line_too(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw is told in one line; a variable shows where it came from."""

    def break_down(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(rml.Ledger, "verify", break_down)
    said = r"unexpected ZeroDivisionError: by\\nzero \(set RML_TRACEBACK=1 to see where\)"
    assert_could_not_tell(run("verify", "--ledger", str(ledger)), said)

    shown = run("verify", "--ledger", str(ledger), RML_TRACEBACK="1")
    assert isinstance(shown.exception, ZeroDivisionError)


# Text that a terminal would obey ----------------------------------------------------------------

# Clear the screen, set the title, hide what follows, overwrite the line, CSI in one byte, DEL, and
# turn the direction of writing.
INJECTED = "x\x1b[2J\x1b]0;title\x07\x1b[8m\rok\n\x9b31m\x7f\u202e\u2028y"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A ledger into which a stranger has written wherever the library lets him."""
    path = tmp_path / "hostile.db"
    with rml.Ledger(path, clock=rml.FrozenClock()) as ledger:
        ledger.append(
            "shop.note",
            world="RML1",
            facts={"detail": INJECTED, "list": [INJECTED], "map": {INJECTED: 1}},
            personal={"name": INJECTED},
        )
        in_doubt(ledger, INJECTED)
        rml.suspect(INJECTED, ledger=ledger, by="ada")
        Casebook(ledger)["INC-2026-0001"].detect(INJECTED)
    return path


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["text", "json"])
def test_recorded_text_cannot_act_on_a_terminal(hostile: Path, more: list[str]) -> None:
    """In the output of every command each character prints, or is the end of a line."""
    with rml.Ledger(hostile) as ledger:
        effect = ledger.in_doubt()[0].id
        size = ledger.size
    questions = [
        ["tail"],
        ["effects"],
        ["cases"],
        ["case", "INC-2026-0001"],
        ["case", "INC-2026-0002"],
        ["show", effect],
        *(["show", str(index)] for index in range(size)),
        ["resolve", effect, *DECISION[2:5], "--no-result", "--by", "ada", "--reason", INJECTED],
    ]

    for args in questions:
        result = run(*args, *more, RML_LEDGER=str(hostile))
        assert 0 == result.exit_code, result.output
        assert [] == [line for line in result.output.split("\n") if not line.isprintable()]
        assert not more or json.loads(result.stdout)


def test_arguments_cannot_act_on_a_terminal() -> None:
    """A command line may have been put together from recorded text."""
    for args in (["show", INJECTED, "--ledger", "x.db"], ["tail", "--ledger", INJECTED]):
        assert_could_not_tell(run(*args), "")


def test_yaml_of_hostile_text_has_no_control_characters(hostile: Path) -> None:
    """A case file printed on a terminal is harmless as well."""
    shown = run("case", "INC-2026-0002", "--yaml", RML_LEDGER=str(hostile)).stdout

    assert [] == re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown)
