"""How the command line ends: exit statuses, one clear line, nothing harmed, nothing injected."""

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
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
DECISION = ["resolve", NO_EFFECT, "--happened", "--by", "ada", "--reason", "seen"]


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
        ("nosuch://shop", "no store knows the ledger URL"),
    ],
)
def test_a_place_that_cannot_be_is_refused(place: str, said: str) -> None:
    """The option is believed, even where it is wrong."""
    assert_could_not_tell(run("tail", "--ledger", place), said)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything: run the suite as a user")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_read_only_ledger_is_read_or_refused_in_one_line(ledger: Path, what: str) -> None:
    """Reading may work or not, as SQLite can; deciding cannot, and says so."""
    (ledger if what == "file" else ledger.parent).chmod(0o444 if what == "file" else 0o555)
    try:
        read = run("tail", "--ledger", str(ledger))
        written = run(*DECISION, "--ledger", str(ledger))
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
        (["verify", "small.db"], "unexpected extra argument"),
        (["effects", "--state", "lost"], "'lost' is not one of"),
        (["effects", "--in-doubt", "--state", "done"], "contradict"),
        (["effects", "--since", "yesterday"], "is no time such as"),
        (["effects", "--since", "999999w"], "is no time such as"),
        (["effects", "--since", "0001-01-01T00:00+14:00"], "is no time such as"),
        (["cases", "--status", "lost"], "'lost' is not one of"),
        (["case", "INC-2026-0001", "--yaml", "--json"], "choose one"),
        (["resolve", NO_EFFECT, "--by", "ada", "--reason", "seen"], "say one of --happened"),
        ([*DECISION, "--did-not-happen"], "say one of --happened"),
        (["resolve", NO_EFFECT, "--happened", "--reason", "seen"], "--by"),
        (["resolve", NO_EFFECT, "--happened", "--by", "ada"], "--reason"),
        ([*DECISION, "--result", "{"], "--result"),
        (
            ["resolve", NO_EFFECT, "--did-not-happen", *DECISION[3:], "--result", "1"],
            "--result goes with --happened",
        ),
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

        @rml.idempotent("payment.charge", key="key", ledger=shop)
        def charge(key: str) -> str:
            return key

        charge("pay-1")
        effect = shop.effects()[0].id

    args = ["resolve", effect, "--happened", "--by", "ada", "--reason", "seen"]
    assert_could_not_tell(run(*args, "--ledger", str(ledger)), f"{effect} is done, not in doubt")


def test_a_pipe_of_somebody_elses_is_no_fine_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a reader of stdout may go away; the gateway of the demonstration may not."""

    def break_off(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(story, "run", break_off)
    assert_could_not_tell(run("demo"), "went away in mid-story")


def test_a_bug_is_one_line_too(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw is told in one line; a variable shows where it came from."""

    def break_down(*_: object) -> None:
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

        @rml.idempotent("payment.charge", key="key", facts=("text",), ledger=ledger)
        def charge(key: str, text: str) -> None:
            raise TimeoutError(text)

        with contextlib.suppress(TimeoutError):
            charge("pay-1", INJECTED)
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
        ["resolve", effect, "--happened", "--by", "ada", "--reason", INJECTED],
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


# Real processes: interrupts, pipes, terminals ---------------------------------------------------


def process(*args: str, **options: object) -> subprocess.Popen[bytes]:
    """Start `python -m rml`."""
    command = [sys.executable, "-m", "rml", *args]
    return subprocess.Popen(command, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload, no-any-return]


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

        assert (130, b"") == (run_.wait(), said.strip())


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


def test_colours_are_for_terminals_that_want_them(hostile: Path) -> None:
    """On a terminal a state has a colour; NO_COLOR and a dumb terminal have none."""
    args = ["effects", "--ledger", str(hostile)]

    assert "\x1b[33min_doubt" in on_terminal(*args, stream="stdout")
    assert "\x1b" not in on_terminal(*args, stream="stdout", NO_COLOR="1")
    assert "\x1b" not in on_terminal(*args, stream="stdout", TERM="dumb")
    assert "\x1b" not in run(*args).stdout


def test_verify_shows_its_progress_on_a_terminal(large: Path) -> None:
    """A bar stands on stderr for whoever watches, and nothing there otherwise."""
    assert "100%" in on_terminal("verify", "--ledger", str(large), stream="stderr")
    assert "" == run("verify", "--ledger", str(large)).stderr


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
