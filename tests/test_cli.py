"""The command line's answers: what each command shows, as text and as JSON."""

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner, Result

import rml
from rml.cli import main
from rml.clock import SeededIds
from rml.demo import story
from rml.incident.casebook import Casebook
from rml.incident.pages.casefile import CaseFile

START = "2026-11-20T19:00:00Z"
COMMANDS = [
    *("demo", "verify", "tail", "show", "effects", "reconcile", "resolve", "resume"),
    *("correct", "pending", "erase", "prune", "lever", "cases", "case"),
    *("keygen", "checkpoint", "prove", "export", "verify-bundle", "backup", "init"),
    *("copy", "doctor", "lint"),
]


@attrs.frozen
class Shop:
    """A ledger with one charge done, one in doubt, an erased field and a case."""

    path: Path
    done: str
    doubtful: str
    note: str

    def rml(self, *args: str, **env: str) -> Result:
        """Run `rml` on this ledger."""
        return CliRunner().invoke(main, args, env={"RML_LEDGER": str(self.path), **env})

    def json(self, *args: str) -> Any:
        """Run `rml ... --json`, which must succeed, and read all of its output."""
        result = self.rml(*args, "--json")
        assert (0, "") == (result.exit_code, result.stderr)
        return json.loads(result.stdout)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop whose gateway lost one answer."""
    clock = rml.FrozenClock(START)
    path = tmp_path / "shop.db"
    with rml.Ledger(path, clock=clock, ids=SeededIds(1), origin="test/shop") as ledger:

        @rml.idempotent("payment.charge", key="payment", facts=("amount",), ledger=ledger)
        def charge(payment: str, amount: int) -> str:
            clock.advance(1)
            if payment == "lost":
                raise TimeoutError
            return "ch-1"

        charge("paid", 1999)
        with pytest.raises(TimeoutError):
            charge("lost", 500)
        note = ledger.append(
            "shop.note", world="RML1", facts={"empty": None}, personal={"a": "kept", "b": "gone"}
        )
        ledger.erase(note.id, ["b"], by="dpo", reason="asked to")
        done, doubtful = (effect.id for effect in ledger.effects())
    return Shop(path, done, doubtful, note.id)


# Help and the ledger's place --------------------------------------------------------------------


def test_commands_stand_in_the_order_of_need() -> None:
    """A newcomer reads the demonstration first."""
    assert COMMANDS == main.list_commands(None)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_page_and_shows_an_example(command: str) -> None:
    """`--help` says what a command does, offers `--json` and gives an example, in 80 columns."""
    result = CliRunner().invoke(main, [command, "--help"], prog_name="rml", terminal_width=80)

    assert 0 == result.exit_code
    assert "--json" in result.stdout
    assert re.search(rf"^  Examples:\n    rml {command}\b", result.stdout, re.MULTILINE)
    assert 80 >= max(map(len, result.stdout.splitlines()))


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("group", ["", "lever", "export", "cases", "case"])
def test_help_lists_each_command_by_a_whole_sentence(group: str, width: int) -> None:
    """On whatever terminal: half of a sentence says half of what a command does."""
    args = [*group.split(), "--help"]
    help_ = CliRunner().invoke(main, args, prog_name="rml", terminal_width=width).stdout
    _, _, listed = help_.partition("Commands:\n")
    listed, _, _ = listed.partition("\n\n")
    sentences = re.sub(r"\n {5,}", " ", listed).splitlines()

    assert [] == [line for line in sentences if not re.match(r"  [a-z-]+  +[A-Z].*[^.]\.$", line)]
    assert width >= max(map(len, listed.splitlines()))


@pytest.mark.parametrize("place", ["{}", "sqlite:///{}"], ids=["path", "url"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_ledger_is_named_before_or_after_the_command(shop: Shop, place: str, before: bool) -> None:
    """Both are what people type."""
    option = ["--ledger", place.format(shop.path)]
    args = [*option, "verify"] if before else ["verify", *option]

    assert 0 == CliRunner().invoke(main, args).exit_code


def test_ledger_after_the_command_counts(shop: Shop) -> None:
    """The nearest word wins: over the one before the command, and over the environment."""
    result = shop.rml("--ledger", "nowhere.db", "verify", "--ledger", str(shop.path), RML_LEDGER="")

    assert 0 == result.exit_code


# verify -----------------------------------------------------------------------------------------


def test_verify_says_what_was_shown(shop: Shop) -> None:
    """A sound ledger: its size and root, and why the assurance is no higher."""
    result = shop.rml("verify")
    document = shop.json("verify")

    assert (0, "") == (result.exit_code, result.stderr)
    assert "ok: everything follows" in result.stdout
    assert document["root"] in result.stdout
    assert (True, "consistent", []) == tuple(document[n] for n in ("ok", "level", "problems"))


def tamper(path: Path, statement: str) -> None:
    """Edit a ledger behind its back."""
    connection = sqlite3.connect(path)
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
    triggers = connection.execute(query).fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(statement)
    for _, sql in triggers:
        connection.execute(sql)
    connection.commit()
    connection.close()


def test_verify_names_the_entry_that_was_changed(shop: Shop) -> None:
    """Status 1, and the place of the first bad entry, in text and in JSON."""
    changed = "UPDATE entries SET bytes = CAST(replace(bytes, '1999', '1998') AS BLOB)"
    tamper(shop.path, f"{changed} WHERE idx = 0")

    result = shop.rml("verify")
    document = json.loads(shop.rml("verify", "--json").stdout)

    assert 1 == result.exit_code
    assert "NOT ok" in result.stdout
    assert "entry 0: the bytes do not give the leaf hash" in " ".join(result.stdout.split())
    assert (False, 0) == (document["ok"], document["problems"][0]["index"])


def test_verify_answers_no_for_a_truncated_ledger(shop: Shop) -> None:
    """A file that is a ledger and cannot be read to its end has an answer: no."""
    with shop.path.open("r+b") as file:
        file.truncate(shop.path.stat().st_size // 2)

    result = shop.rml("verify")

    assert 1 == result.exit_code
    assert "NOT ok" in result.stdout
    assert 1 == shop.rml("verify", "--json").exit_code
    assert 2 == shop.rml("tail").exit_code


# tail -------------------------------------------------------------------------------------------


def test_tail_shows_the_newest_entries_oldest_first(shop: Shop) -> None:
    """In the order in which they were recorded, with the place that `show` takes."""
    lines = shop.rml("tail", "-n", "2").stdout.splitlines()

    assert ["#", "RECORDED", "(UTC)", "WORLD", "KIND", "WHAT"] == lines[0].split()
    assert ["5", "6"] == [line[0] for line in lines[1:]]
    assert "6  2026-11-20 19:00:02  RML1   payload.erased  by dpo asked to" == lines[2]


def test_tail_of_one_kind(shop: Shop) -> None:
    """Other entries are not counted."""
    entries = shop.json("tail", "--kind", "effect.intent", "-n", "1")

    assert [("effect.intent", "lost")] == [(entry["kind"], entry["key"]) for entry in entries]


def test_tail_names_personal_fields_and_keeps_their_values_to_itself(shop: Shop) -> None:
    """A list is piped to places where personal data has no business."""
    (entry,) = shop.json("tail", "--kind", "shop.note")

    assert (["a"], ["b"]) == (entry["kept"], entry["erased"])
    assert "personal" not in entry


def test_nothing_is_an_empty_array(tmp_path: Path) -> None:
    """An empty ledger is no failure."""
    path = tmp_path / "empty.db"
    rml.Ledger(path).close()
    runner = CliRunner(env={"RML_LEDGER": str(path)})

    for command, said in [("tail", "entries"), ("effects", "effects"), ("cases", "cases")]:
        assert (f"no {said}\n", "[]\n") == (
            runner.invoke(main, [command]).stdout,
            runner.invoke(main, [command, "--json"]).stdout,
        )


def test_a_line_is_cut_where_the_width_is_known(shop: Shop) -> None:
    """A pipe gets lines whole, COLUMNS and terminals get what fits."""
    whole, fitted = shop.rml("tail").stdout, shop.rml("tail", COLUMNS="80").stdout

    assert "it ended with TimeoutError" in whole
    assert 80 == max(map(len, fitted.splitlines()))
    assert "..." in fitted


# show -------------------------------------------------------------------------------------------


def test_show_an_entry(shop: Shop) -> None:
    """Header, facts, what is kept and what was erased, and what corrected it."""
    shown = shop.rml("show", shop.note).stdout

    assert re.search(r"^kind +shop.note$", shown, re.MULTILINE)
    assert re.search(r"^  empty  null$", shown, re.MULTILINE)
    assert "  a  kept\n  b  erased on 2026-11-20 19:00:02 by dpo: asked to\n" in shown
    assert re.search(r"^Erased by\n.*\n +6 .* payload.erased ", shown, re.MULTILINE)
    assert "Corrected by" not in shown


def test_show_an_entry_as_json(shop: Shop) -> None:
    """The same, for scripts."""
    shown = shop.json("show", shop.note.upper())

    assert ("entry", {"a": "kept"}, ["b"]) == (shown["type"], shown["personal"], shown["erased"])
    assert [] == shown["corrected_by"]
    (erasing,) = (entry for entry in shop.json("tail") if entry["kind"] == "payload.erased")
    at = "2026-11-20T19:00:02.000000Z"
    gone = {"at": at, "by": "dpo", "reason": "asked to", "entry": erasing["id"]}
    assert {"b": gone} == shown["erasures"]


@pytest.mark.parametrize("index", range(7))
def test_show_takes_a_place(shop: Shop, index: int) -> None:
    """The number in the first column of `tail` is enough."""
    assert index == shop.json("show", str(index))["index"]


def test_show_an_effect(shop: Shop) -> None:
    """Where it stands, all its entries, and the way out of doubt."""
    shown = shop.rml("show", shop.doubtful).stdout
    document = shop.json("show", shop.doubtful)

    assert re.search(r"^state +in_doubt$", shown, re.MULTILINE)
    assert f"rml resolve {shop.doubtful} --version 2 --happened" in " ".join(shown.split())
    kinds = ["effect.intent", "incident.opened", "effect.in_doubt"]
    assert kinds == [entry["kind"] for entry in document["entries"]]
    assert kinds == re.findall(r"(?:effect|incident)\.\w+", shown.partition("Entries")[2])


def test_show_an_incident(shop: Shop) -> None:
    """It is the case."""
    assert shop.rml("case", "INC-2026-0001").stdout == shop.rml("show", "inc-2026-0001").stdout
    assert "case" == shop.json("show", "INC-2026-0001")["type"]


# effects and resolve ----------------------------------------------------------------------------


def test_effects_stand_with_their_state_and_facts(shop: Shop) -> None:
    """Two lines each: the id to copy, and what it is about."""
    assert [
        "STATE     ATTEMPT  STARTED (UTC)        EFFECT",
        f"done            1  2026-11-20 19:00:00  {shop.done}",
        "    payment.charge paid amount=1999",
        f"in_doubt        1  2026-11-20 19:00:01  {shop.doubtful}",
        "    payment.charge lost version 2 INC-2026-0001 amount=500",
    ] == shop.rml("effects").stdout.splitlines()[:5]


@pytest.mark.parametrize(
    ("args", "keys"),
    [
        (["--in-doubt"], ["lost"]),
        (["--in-doubt", "--state", "in_doubt"], ["lost"]),
        (["--state", "done"], ["paid"]),
        (["--operation", "payment.charge"], ["paid", "lost"]),
        (["--in-doubt", "--operation", "payment.refund"], []),
        (["--since", "2026-11-20T20:00:01+01:00"], ["lost"]),
        (["--since", "2026-11-20 19:00:01", "--in-doubt"], ["lost"]),
        (["--since", "2026-11-20"], ["paid", "lost"]),
        (["--since", "2026-11-21"], []),
        (["--since", "5000w"], ["paid", "lost"]),
        (["--key", "lost"], ["lost"]),
        (["--key", "los"], []),
        (["--incident", "inc-2026-0001"], ["lost"]),
        (["--incident", "INC-2026-0001", "--state", "done"], []),
        (["--in-doubt", "--key", "paid"], []),
    ],
    ids=" ".join,
)
def test_effects_are_filtered(shop: Shop, args: list[str], keys: list[str]) -> None:
    """By state, by operation, by when they were promised; a time without offset is UTC."""
    assert keys == [effect["key"] for effect in shop.json("effects", *args)]


def decision(effect: str, *more: str) -> list[str]:
    """A decision that nothing is missing from."""
    by = ["--by", "ada", "--reason", "seen at the gateway"]
    return ["resolve", effect, "--version", "2", *more, *by]


@pytest.mark.parametrize(("said", "state"), [("happened", "done"), ("did-not-happen", "not_done")])
def test_resolve_ends_doubt(shop: Shop, said: str, state: str) -> None:
    """A person's decision is recorded with the name and the reason."""
    more = ["--no-result"] if said == "happened" else []
    result = shop.rml(*decision(shop.doubtful, f"--{said}", *more))
    (entry,) = shop.json("tail", "--kind", "effect.resolved")

    assert (0, "") == (result.exit_code, result.stderr)
    assert f"{shop.doubtful} is {state}" in result.stdout
    assert ("ada", "seen at the gateway") == (entry["actor"], entry["facts"]["reason"])
    assert state == shop.json("show", shop.doubtful)["state"]


def test_resolve_decides_only_what_was_looked_at(shop: Shop) -> None:
    """Another version is refused with status 2, and the doubt stands."""
    args = decision(shop.doubtful, "--did-not-happen")
    result = shop.rml(*args[:3], "1", *args[4:])

    assert (2, "") == (result.exit_code, result.stdout)
    assert "has changed: it is version 2 now, not 1" in result.stderr
    assert "in_doubt" == shop.json("show", shop.doubtful)["state"]


def test_resolve_answers_a_key_with_its_effects_ids(shop: Shop) -> None:
    """`rml show` takes a key; a decision is about one effect, and a key may have several."""
    result = shop.rml(*decision("lost", "--did-not-happen"))

    assert (2, "") == (result.exit_code, result.stdout)
    assert f"is a key; give the effect's id: {shop.doubtful} (payment.charge)" in result.stderr


def test_resolve_says_how_a_text_is_written(shop: Shop) -> None:
    """JSON wants quotes around it, and a shell takes one pair away."""
    result = shop.rml(*decision(shop.doubtful, "--happened", "--result", "ch-1"))

    assert (2, "") == (result.exit_code, result.stdout)
    assert """with its quotes, as in --result '"ch-1"'""" in result.stderr


@pytest.mark.parametrize("value", [{"id": "ch-2"}, None, "", 0], ids=repr)
def test_resolve_keeps_the_result_for_later_calls(shop: Shop, value: object) -> None:
    """What `--result` says is what the next call with the key gets; null is a value too."""
    decided = shop.json(*decision(shop.doubtful, "--happened", "--result", json.dumps(value)))

    with rml.Ledger(shop.path) as ledger:

        @rml.idempotent("payment.charge", key="payment", facts=("amount",), ledger=ledger)
        def charge(payment: str, amount: int) -> object:
            raise AssertionError(payment, amount)

        assert value == charge("lost", 500)
    assert ("done", True) == (decided["state"], decided["replay"])


@pytest.mark.parametrize("args", [["effects"], ["show", "lost"], ["case", "INC-2026-0001"]])
def test_a_doubt_stands_with_its_way_out(shop: Shop, args: list[str]) -> None:
    """Wherever a doubt is shown, the command that ends it is named, ready to be copied."""
    way_out = f"rml resolve {shop.doubtful} --version 2 --happened --result JSON"
    assert way_out in shop.rml(*args).stdout


def test_show_takes_a_key(shop: Shop) -> None:
    """A payment is looked up by its own id."""
    assert shop.done == shop.json("show", "paid")["id"]
    assert shop.rml("show", shop.done).stdout == shop.rml("show", "paid").stdout


@pytest.mark.parametrize("key", ["7000", "0f8fad5b-d9cb-469f-a165-70867728950e"])
def test_show_lists_the_effects_of_one_key(shop: Shop, key: str) -> None:
    """Also of a key that looks like an entry's place or id."""
    with rml.Ledger(shop.path) as ledger:
        for operation in ("payment.charge", "payment.refund"):

            @rml.idempotent(operation, key="payment", ledger=ledger)
            def pay(payment: str) -> None:
                """Nothing."""

            pay(key)

    found = shop.json("show", key)

    assert ("effects", [key, key]) == (found["type"], [e["key"] for e in found["effects"]])
    assert "payment.refund" in shop.rml("show", key).stdout


# cases ------------------------------------------------------------------------------------------


def test_cases_are_listed(shop: Shop) -> None:
    """Where each stands, and its title under it."""
    lines = shop.rml("cases").stdout.splitlines()

    assert "INC-2026-0001  ongoing  detect  RML3   2026-11-20 19:00:02        1" == lines[1]
    assert "    payment.charge may have happened: it ended with TimeoutError" == lines[2]


@pytest.mark.parametrize(
    ("args", "number"), [([], 1), (["--open"], 1), (["--status", "resolved"], 0)], ids=str
)
def test_cases_are_filtered(shop: Shop, args: list[str], number: int) -> None:
    """By status, and by whether they are closed."""
    assert number == len(shop.json("cases", *args))


def test_case_shows_what_is_missing(shop: Shop) -> None:
    """The page ends with what bars closing."""
    with rml.Ledger(shop.path, clock=rml.FrozenClock("2026-11-20T20:00:00Z")) as ledger:
        Casebook(ledger)["INC-2026-0001"].contain("payments are off", by="bo", lever="flag_off")

    shown = shop.rml("case", "INC-2026-0001").stdout
    document = shop.json("case", "INC-2026-0001")

    assert re.search(r"^phase +contain$", shown, re.MULTILINE)
    assert re.search(r"^next +say what happened", shown, re.MULTILINE)
    assert re.search(r"^who +sre$", shown, re.MULTILINE)
    assert "  2026-11-20 20:00:00  RML2  containment: payments are off\n" in shown
    assert f"  in_doubt  {shop.doubtful}  payment.charge lost\n" in shown
    listed = " ".join(shown.partition("Missing before it can be closed")[2].split())
    assert document["missing"]
    assert all(need in listed for need in document["missing"])


def test_case_as_yaml_is_the_case_file(shop: Shop) -> None:
    """`rml case ... --yaml > file` writes what the library reads."""
    result = shop.rml("case", "INC-2026-0001", "--yaml")

    with rml.Ledger(shop.path, create=False) as ledger:
        assert Casebook(ledger)["INC-2026-0001"].file == CaseFile.from_yaml(result.stdout_bytes)


# demo -------------------------------------------------------------------------------------------


@attrs.frozen
class Told:
    """What a story came to."""

    ok: bool
    ledger: Path


@pytest.mark.parametrize("ok", [True, False])
def test_demo_tells_the_story(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ok: bool) -> None:
    """Its lines are printed, or its result as JSON; status 1 when it did not go as it says."""

    def run(out: Path | None, echo: Any) -> Told:
        echo("Once upon a time")
        return Told(ok, out or tmp_path)

    monkeypatch.setattr(story, "run", run)
    told = CliRunner().invoke(main, ["demo"])
    summed_up = CliRunner().invoke(main, ["demo", "--out", str(tmp_path / "kept"), "--json"])

    assert ("Once upon a time\n", 0 if ok else 1) == (told.stdout, told.exit_code)
    assert {"ok": ok, "ledger": str(tmp_path / "kept")} == json.loads(summed_up.stdout)
    assert told.exit_code == summed_up.exit_code
