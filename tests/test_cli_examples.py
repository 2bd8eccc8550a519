"""The examples in the help of every command: all are well spelt, and most are carried out."""

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import rml
from rml.cli import main

ROOT = Path(__file__).parent.parent
ORIGIN = "shop.example/payments"
HANDLERS = """
import rml

@rml.idempotent("hotel.book", key="order")
def book(order): ...

@rml.saga("order.place", key="order", steps={book: None})
def place(order: str): ...
"""
# What a reader puts something of their own for.
EFFECT = re.compile(r"ef_(?:\.\.\.|[0-9a-f]{32})")
# What an example shows besides words: continued lines, comments, and what a shell makes of words.
CONTINUED = re.compile(r"\s*\\\n\s*")
COMMENT = re.compile(r" {2,}\S.*$")
OPERATORS = {"|", ">", "&&"}


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group, with the words that lead to it."""
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


COMMANDS: dict[str, click.Command] = {"": main} | {
    " ".join(words): command for words, command in commands(main)
}


def examples(command: click.Command) -> list[str]:
    """The lines after "Examples:" in a command's help, each with what continues it."""
    assert command.epilog is not None
    _, _, shown = command.epilog.partition("Examples:\n")
    return [line.strip() for line in CONTINUED.sub(" ", shown).splitlines()]


def command_lines(example: str) -> list[list[str]]:
    """The command lines of rml in an example, as a shell would give their words."""
    lexer = shlex.shlex(COMMENT.sub("", example), posix=True, punctuation_chars="|>&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    lines: list[list[str]] = [[]]
    words = iter(lexer)
    for word in words:
        if word == ">":
            next(words)
        elif word in OPERATORS:
            lines.append([])
        else:
            lines[-1].append(word)
    return [line[1:] for line in lines if line[0] == "rml"]


ALL = sorted(
    {one for command in COMMANDS.values() for one in examples(command) if command_lines(one)}
)


def run(words: list[str]) -> Result:
    """Run a command line of rml in this process."""
    return CliRunner().invoke(main, words, prog_name="rml")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with whatever the examples name."""
    folder = tmp_path_factory.mktemp("full")
    for name in ("audit", "backups", "runbooks", "shop", "src", "story"):
        (folder / name).mkdir()
    for name in ("app.jsonl", "spans.jsonl", "witness.vkey"):
        (folder / name).touch()
    (folder / "shop" / "__init__.py").touch()  # or a module of that name would go first
    (folder / "shop" / "handlers.py").write_text(HANDLERS, encoding="utf-8")
    clock = rml.FrozenClock("2026-11-21T02:00:00Z")
    with rml.Ledger(folder / "payments.db", origin=ORIGIN, clock=clock) as ledger:
        fill(ledger)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        key = run(["keygen", "--ledger", "payments.db", "payments.key"])
        (folder / "payments.vkey").write_text(key.stdout, encoding="utf-8")
        signed = ["checkpoint", "payments.db", "--key", "payments.key"]
        checkpoint = run([*signed, "--anchor", "audit/payments.kept"])
        (folder / "kept.checkpoint").write_text(checkpoint.stdout, encoding="utf-8")
        key_of = ["--key", "payments.key", "--ledger", "payments.db"]
        run(["export", "bundle", "INC-2026-0001", "case.zip", *key_of])
        run(["prove", "payments.db", "12", "--key", "payments.key", "-o", "entry.tlog-proof"])
    return folder


def fill(ledger: rml.Ledger) -> None:
    """Have what the examples ask about: effects that are done and in doubt, one incident."""

    @rml.idempotent(
        "payment.charge", key="payment", facts=("amount", "currency"), personal=("email",)
    )
    def charge(payment: str, amount: int, currency: str, email: str) -> str:
        if payment == "pay-202":
            raise TimeoutError
        return payment

    with rml.use(ledger=ledger):
        for number in range(200, 203):
            with suppress(TimeoutError):
                charge(f"pay-{number}", 1999, "EUR", "ada@shop.example")
    for number in range(9):
        ledger.append("stock.counted", world="RML3", facts={"item": "coffee", "n": number})


@pytest.fixture
def copy(full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it, in which we are."""
    shutil.copytree(full, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("RML_LEDGER", "payments.db")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "shop", raising=False)  # other tests have one
    monkeypatch.setattr("rml.effect.reconcile._operations", {})
    monkeypatch.setattr("rml.effect.saga._sagas", {})
    yield tmp_path / "copy"
    for name in ("shop", "shop.handlers"):
        sys.modules.pop(name, None)


def own(words: list[str]) -> list[str]:
    """A command line with what this ledger has in the place of what the example has."""
    with rml.Ledger("payments.db", create=False) as ledger:
        wanted = rml.EffectState.IN_DOUBT if words[0] == "resolve" else rml.EffectState.DONE
        effect = next(one.id for one in ledger.effects() if one.state is wanted)
    put = ["12" if word == "120000" else EFFECT.sub(effect, word) for word in words]
    put = [re.sub(r"^/(?:mnt/)?(?=audit|backups)", "", word) for word in put]
    return [*put, "--yes"] if words[0] in {"erase", "prune"} and "--yes" not in words else put


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_of_itself(name: str) -> None:
    """Not of another; a group's may be those of its commands."""
    path = name.split()
    shown = [line for example in examples(COMMANDS[name]) for line in command_lines(example)]
    if path[:1] == ["case"]:  # the incident stands between them
        shown = [[line[0], *line[2:]] for line in shown]

    assert any(path == line[: len(path)] for line in shown) or name == "case show"


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that have been called, which do nothing and look at no file."""
    calls: list[str] = []
    for name, command in COMMANDS.items():
        if not isinstance(command, click.Group) or command.invoke_without_command:
            monkeypatch.setattr(command, "callback", lambda name=name, **_: calls.append(name))
    monkeypatch.setattr(
        click.Path, "convert", lambda self, value, *_: self.coerce_path_result(value)
    )
    return calls


def assert_well_spelt(shown: list[str], called: list[str]) -> None:
    """Every word is a command, an option or an argument of ours."""
    for words in [words for line in shown for words in command_lines(line)]:
        result = run(words)
        assert 0 == result.exit_code, result.stderr
        assert called
        called.clear()


@pytest.mark.parametrize("name", COMMANDS)
def test_they_are_well_spelt(name: str, called: list[str]) -> None:
    """Also those that cannot be carried out here."""
    assert_well_spelt(examples(COMMANDS[name]), called)


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SHELL = re.compile(r"^```(?:console|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?(?=rml )")


def typed(page: Path) -> list[str]:
    """The lines of a page on which rml is typed into a shell."""
    blocks = SHELL.findall(page.read_text(encoding="utf-8"))
    lines = [line for block in blocks for line in CONTINUED.sub(" ", block).splitlines()]
    return [PROMPT.sub("", line) for line in lines if PROMPT.match(line)]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if typed(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_pages_are_well_spelt(page: Path, called: list[str]) -> None:
    """What a reader copies from the documentation is taken by this version."""
    assert_well_spelt(typed(page), called)


# What cannot be carried out here: it takes twenty seconds, never ends, or asks another machine; the
# steps on a case depend on each other.
NOT_HERE = re.compile(r"^rml (demo|case|init)\b|-f\b|--every|postgresql:|--witness")


# What a command makes stands there already, for the examples that read it.
MADE = {"keygen": "payments.key", "prove": "entry.tlog-proof", "export": "case.zip"}


@pytest.mark.parametrize("example", [each for each in ALL if not NOT_HERE.search(each)])
def test_it_can_be_carried_out(example: str, copy: Path) -> None:
    """In a folder that has what it names, its answer is yes or no, and nothing went wrong."""
    for words in command_lines(example):
        if words[0] in MADE and "--check" not in words:
            (copy / MADE[words[0]]).unlink()
        result = run(own(words))
        assert (result.exit_code, result.stderr) in ((0, ""), (1, "")), result.stdout
