"""`rml export`, `rml verify-bundle` and `rml backup`: files for others, and their exit statuses."""

import csv
import json
import os
import re
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result
from datasette.utils import parse_metadata
from tlog_reader import TlogFolder

import rml
from rml.cli import main
from rml.clock import SeededIds
from rml.export import table

ORIGIN = "test/shop"


@attrs.frozen
class Shop:
    """A signed ledger with one charge done, one in doubt, an erased field, a hostile key."""

    folder: Path
    key: str

    def rml(self, *args: str) -> Result:
        """Run `rml` on this ledger."""
        return CliRunner().invoke(main, args, env={"RML_LEDGER": str(self.folder / "shop.db")})

    def json(self, *args: str, status: int = 0) -> Any:
        """Run `rml ... --json` and read all of its output."""
        result = self.rml(*args, "--json")
        assert status == result.exit_code, result.stderr
        return json.loads(result.stdout)

    def refused(self, *args: str, status: int = 2) -> str:
        """The one line that says why a command came to nothing."""
        result = self.rml(*args)
        assert (status, "") == (result.exit_code, result.stdout)
        (line,) = result.stderr.splitlines()
        return line

    def at(self, name: str) -> str:
        """A file beside the ledger."""
        return str(self.folder / name)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """See the class; its keys lie beside it."""
    clock = rml.FrozenClock("2026-11-20T19:00:00Z")
    signer = rml.SignerKey.generate(ORIGIN)
    (tmp_path / "shop.key").write_text(signer.to_text().reveal(), "utf-8")
    (tmp_path / "shop.vkey").write_text(signer.verifier.to_text() + "\n", "utf-8")
    place = tmp_path / "shop.db"
    with rml.Ledger(place, clock=clock, ids=SeededIds(1), origin=ORIGIN) as ledger:

        @rml.idempotent("payment.charge", key="payment", facts=("amount",), ledger=ledger)
        def charge(payment: str, amount: int) -> str:
            if payment == "lost":
                raise TimeoutError
            return "ch-1"

        charge('=HYPERLINK("http://evil.example")', 1999)
        with pytest.raises(TimeoutError):
            charge("lost", 500)
        note = ledger.append("shop.note", world="RML1", personal={"a": "kept", "b": "gone"})
        ledger.erase(note.id, ["b"], by="dpo", reason="asked to")
    return Shop(tmp_path, signer.verifier.to_text())


# tiles ------------------------------------------------------------------------------------------


def test_tiles_are_a_signed_log(shop: Shop) -> None:
    """An outsider's reader verifies it; a second export adds nothing."""
    args = ("export", "tiles", shop.at("log"), "--key", shop.at("shop.key"))
    first, again = shop.json(*args), shop.json(*args)

    assert 7 == len(TlogFolder(shop.folder / "log").check(shop.key))
    assert (ORIGIN, 7, 7, 3, True) == tuple(
        first[name] for name in ("origin", "size", "added", "files", "signed")
    )
    assert (0, 0) == (again["added"], again["files"])
    assert re.search(r"^signed +yes$", shop.rml(*args).stdout, re.MULTILINE)


def test_tiles_without_a_key(shop: Shop) -> None:
    """They say that they are not signed."""
    assert shop.json("export", "tiles", shop.at("log"))["signed"] is False


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "the key in {} cannot be read: No such file"),
        (b"\xff\xfe", "the key in {} cannot be read: it is no text"),
        (b"secret " * 500, "{} holds no signer key: it is no file, or too long for one"),
        (b"something secret", "a signer key begins with 'PRIVATE+KEY+'"),
    ],
)
def test_a_key_that_is_none(shop: Shop, content: bytes | None, why: str) -> None:
    """One line, which shows nothing of what is in the file."""
    key = shop.folder / "other.key"
    if content is not None:
        key.write_bytes(content)

    line = shop.refused("export", "tiles", shop.at("log"), "--key", str(key))

    assert why.format(key) in line
    assert "secret" not in line
    assert not (shop.folder / "log").exists()


def test_another_ledgers_key(shop: Shop) -> None:
    """It does not sign for this one."""
    key = rml.SignerKey.generate("other.example/ledger").to_text().reveal()
    (shop.folder / "other.key").write_text(key, "utf-8")

    line = shop.refused("export", "tiles", shop.at("log"), "--key", shop.at("other.key"))

    assert "is the ledger 'test/shop', not 'other.example/ledger'" in line


# bundle -----------------------------------------------------------------------------------------


def bundle(shop: Shop, *args: str) -> str:
    """Make a bundle of the case; return its path."""
    file = shop.at("case.zip")
    made = shop.json("export", "bundle", "inc-2026-0001", file, "--key", shop.at("shop.key"), *args)
    assert (["INC-2026-0001"], 7, True) == (made["about"], made["size"], made["casefile"])
    return file


def test_a_bundle_is_verified_without_the_ledger(shop: Shop) -> None:
    """By the key, in a file or as text, in another place."""
    file = bundle(shop)
    (shop.folder / "shop.db").unlink()

    for key in (shop.key, shop.at("shop.vkey")):
        result = CliRunner().invoke(main, ["verify-bundle", file, "--key", key])
        assert (0, "") == (result.exit_code, result.stderr)
        assert "ok: every entry is in the ledger" in result.stdout
        assert re.search(r"^not shown +that there are no other", result.stdout, re.MULTILINE)
        assert re.search(r"^pages +follow from the entries$", result.stdout, re.MULTILINE)
    document = shop.json("verify-bundle", file, "--key", shop.key)
    assert (True, ORIGIN, 3, None) == tuple(
        document[name] for name in ("ok", "origin", "entries", "problem")
    )


def test_what_became_of_fields_is_counted(shop: Shop) -> None:
    """By name, how often each is disclosed, withheld or erased."""
    with rml.Ledger(shop.at("shop.db")) as ledger:
        note = ledger.entries(kind="shop.note")[0].id
    args = ("--key", shop.at("shop.key"), "--disclose", "a")

    made = shop.json("export", "bundle", note.upper(), shop.at("note.zip"), *args)

    assert {"a": {"disclosed": 1}, "b": {"erased": 1}} == made["personal"]
    shown = shop.rml("verify-bundle", shop.at("note.zip"), "--key", shop.key).stdout
    assert "a (disclosed 1), b (erased 1)" in shown


def test_a_bundle_is_about_the_entry_at_a_place(shop: Shop) -> None:
    """The same number as `rml tail` shows."""
    with rml.Ledger(shop.at("shop.db")) as ledger:
        note = ledger.entries(kind="shop.note")[0]
    file, key = shop.at("note.zip"), shop.at("shop.key")

    made = shop.json("export", "bundle", str(note.index), file, "--key", key)

    assert [note.id] == made["about"]


def test_a_wrong_key_is_a_no(shop: Shop) -> None:
    """Status 1, in text and in JSON."""
    file = bundle(shop)
    stranger = rml.SignerKey.generate(ORIGIN).verifier.to_text()

    assert "no trusted key has signed this" in shop.refused(
        "verify-bundle", file, "--key", stranger, status=1
    )
    document = shop.json("verify-bundle", file, "--key", stranger, status=1)
    assert document["ok"] is False
    assert "no trusted key" in document["problem"]


def test_a_damaged_bundle_cannot_be_judged(shop: Shop) -> None:
    """Status 2, and so for a key that is none."""
    file = Path(bundle(shop))
    data = file.read_bytes()
    file.write_bytes(data[:-100])

    assert "cannot be read: it is cut off" in shop.refused(
        "verify-bundle", str(file), "--key", shop.key
    )
    file.write_bytes(data)
    assert "the key in nowhere cannot be read" in shop.refused(
        "verify-bundle", str(file), "--key", "nowhere"
    )
    assert "Missing option '--key'" in shop.refused("verify-bundle", str(file))


def test_entries_of_a_bundle_of_another_version(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not tell about the pages; it can about the entries alone."""
    with monkeypatch.context() as patch:
        patch.setattr("rml.export.bundle.version", lambda _: "99.0")
        file = bundle(shop)
    monkeypatch.setattr("rml.export.pages._README", "Another text.\n")

    line = shop.refused("verify-bundle", file, "--key", shop.key)
    result = shop.rml("verify-bundle", file, "--key", shop.key, "--entries-only")

    assert "README.txt was made by rml '99.0'" in line
    assert 0 == result.exit_code
    assert re.search(r"^pages +not compared$", result.stdout, re.MULTILINE)


def test_a_bundle_about_nothing(shop: Shop) -> None:
    """Nothing is written."""
    args = ("--key", shop.at("shop.key"))

    assert "no incident 'INC-1' is here" in shop.refused(
        "export", "bundle", "inc-1", shop.at("case.zip"), *args
    )
    assert not (shop.folder / "case.zip").exists()
    bundle(shop)
    assert "there already" in shop.refused(
        "export", "bundle", "INC-2026-0001", shop.at("case.zip"), *args
    )
    bundle(shop, "--overwrite")


# entries and effects ----------------------------------------------------------------------------


def test_entries_as_json_lines(shop: Shop) -> None:
    """One a line, as `rml tail --json` shows them; what is erased says so."""
    done = shop.json("export", "entries", shop.at("entries.jsonl"))
    lines = (shop.folder / "entries.jsonl").read_text("utf-8").splitlines()

    assert {"file": shop.at("entries.jsonl"), "format": "jsonl", "rows": 7} == done
    assert shop.json("tail", "-n", "7") == [json.loads(line) for line in lines]
    assert (["a"], ["b"]) == tuple(json.loads(lines[5])[name] for name in ("kept", "erased"))
    assert not [line for line in lines if "personal" in json.loads(line)]


def test_personal_values_only_if_asked_for(shop: Shop) -> None:
    """Those that are left."""
    shop.json("export", "entries", shop.at("entries.jsonl"), "--with-personal")
    lines = (shop.folder / "entries.jsonl").read_text("utf-8").splitlines()

    assert {"a": "kept"} == json.loads(lines[5])["personal"]


def test_entries_as_csv_are_no_formulas(shop: Shop) -> None:
    """A spreadsheet shows what strangers wrote, and does not obey it."""
    shop.json("export", "entries", shop.at("entries.csv"))
    with (shop.folder / "entries.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    assert [str(number) for number in range(7)] == [row["index"] for row in rows]
    assert '\'=HYPERLINK("http://evil.example")' == rows[0]["key"]
    assert {"amount": 1999} == {
        name: value for name, value in json.loads(rows[0]["facts"]).items() if name == "amount"
    }
    assert ('["a"]', '["b"]', "") == tuple(rows[5][name] for name in ("kept", "erased", "key"))
    assert "2026-11-20T19:00:00.000000Z" == rows[0]["recorded_at"]


def test_entries_as_parquet_have_types(shop: Shop) -> None:
    """Numbers, moments and text."""
    shop.json("export", "entries", shop.at("entries.parquet"))
    read = pyarrow.parquet.read_table(shop.at("entries.parquet"))

    types = {field.name: str(field.type) for field in read.schema}
    assert ("int64", "timestamp[us, tz=UTC]", "string", "string") == tuple(
        types[name] for name in ("index", "recorded_at", "facts", "erased")
    )
    assert '=HYPERLINK("http://evil.example")' == read["key"][0].as_py()
    assert ['["b"]'] == [value for value in read["erased"].to_pylist() if value != "[]"]


def test_effects_in_every_form(shop: Shop) -> None:
    """The same rows, where each stands."""
    for form in table.FORMATS:
        done = shop.json("export", "effects", shop.at("effects"), "--format", form, "--overwrite")
        assert (form, 2) == (done["format"], done["rows"])
        if form == "jsonl":
            lines = (shop.folder / "effects").read_text("utf-8").splitlines()
            assert shop.json("effects") == [json.loads(line) for line in lines]
        if form == "csv":
            with (shop.folder / "effects").open(encoding="utf-8", newline="") as file:
                states = [row["state"] for row in csv.DictReader(file)]
            assert ["done", "in_doubt"] == states
    read = pyarrow.parquet.read_table(shop.at("effects"))
    assert ["done", "in_doubt"] == read["state"].to_pylist()
    assert [True, False] == read["replay"].to_pylist()


def test_an_export_is_whole_or_not_there(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the middle leaves no file, and the one that was there stays."""
    shop.json("export", "entries", shop.at("entries.jsonl"))
    before = (shop.folder / "entries.jsonl").read_bytes()
    names = sorted(path.name for path in shop.folder.iterdir())
    module = sys.modules["rml.cli.export"]  # the package has the command under this name
    monkeypatch.setattr(module, "entry_shape", lambda entry: 1 / (5 - entry.index))

    for form in ("jsonl", "csv", "parquet"):
        args = ("--format", form, "--overwrite")
        assert 2 == shop.rml("export", "entries", shop.at("entries.jsonl"), *args).exit_code

    assert before == (shop.folder / "entries.jsonl").read_bytes()
    assert names == sorted(path.name for path in shop.folder.iterdir())


def test_a_form_must_be_named(shop: Shop) -> None:
    """By option or by the file's name."""
    assert "which form? give --format" in shop.refused("export", "entries", shop.at("entries.xls"))
    assert "there already" in shop.refused(
        "export", "entries", shop.at("shop.db"), "--format", "csv"
    )


@pytest.mark.parametrize("in_use", [True, False])
@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal", ".lock"])
def test_a_ledger_is_not_overwritten(shop: Shop, tmp_path: Path, ending: str, in_use: bool) -> None:
    """Neither the exported one nor another, nor a file that belongs to one."""
    other = tmp_path / "other.db"
    with rml.Ledger(shop.at("shop.db")) as ledger:
        ledger.backup(other)
    opened = rml.Ledger(other)
    size = opened.append("shop.note", world="RML1").index
    if not in_use:
        opened.close()
    for place in ("shop.db", "other.db"):
        why = shop.refused(
            "export", "entries", shop.at(place + ending), "--format", "csv", "--overwrite"
        )
        assert "cannot write" in why
        assert "cannot write" in shop.refused(
            "export", "datasette", shop.at(place + ending), "--overwrite"
        )
    opened.close()

    with rml.Ledger(other) as again:
        assert (True, size + 1) == (again.verify().ok, again.size)
    assert shop.json("verify")["ok"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe of POSIX")
def test_a_device_is_not_replaced(shop: Shop) -> None:
    """Who is root could replace any; a pipe stands for them here."""
    os.mkfifo(shop.at("pipe"))

    for args in (["backup"], ["export", "datasette"], ["export", "entries", "--format", "csv"]):
        assert "a device or a pipe" in shop.refused(*args, shop.at("pipe"), "--overwrite")
    assert (shop.folder / "pipe").is_fifo()


def test_a_backup_does_not_set_back_a_ledger_in_use(shop: Shop) -> None:
    """Whoever exchanges the two names loses nothing, as long as somebody uses the ledger."""
    shop.json("backup", shop.at("old.db"))
    with rml.Ledger(shop.at("shop.db")) as ledger:
        size = ledger.size
        assert "somebody uses" in shop.refused(
            "backup", shop.at("old.db"), shop.at("shop.db"), "--overwrite"
        )

        assert size == ledger.size


def test_a_full_disk_is_one_line(shop: Shop) -> None:
    """And leaves nothing behind."""

    def fill(draft: rml.Draft) -> None:
        for _ in range(300):
            draft.append("shop.note", world="RML1", facts={"noise": secrets.token_hex(400)})

    with rml.Ledger(shop.at("shop.db")) as ledger:
        ledger.write(fill)
    script = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))\n"
        "from rml.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    for args in (["entries", "e.jsonl"], ["entries", "e.csv"], ["entries", "e.parquet"]):
        command = [sys.executable, "-c", script, "--ledger", shop.at("shop.db"), "export", *args]
        ended = subprocess.run(
            command, cwd=shop.folder, capture_output=True, text=True, check=False, timeout=60
        )
        assert (2, "") == (ended.returncode, ended.stdout), ended.stderr
        (line,) = ended.stderr.splitlines()
        assert f"rml: cannot write {args[1]}: File too large" == line
    assert ["shop.db", "shop.key", "shop.vkey"] == sorted(
        path.name for path in shop.folder.iterdir() if path.name != "shop.db.lock"
    )


# datasette --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["datasette.yaml", "datasette.json"])
def test_metadata_for_datasette(shop: Shop, name: str) -> None:
    """Both forms are read by Datasette itself, and hold the same."""
    done = shop.json("export", "datasette", shop.at(name))
    metadata = parse_metadata((shop.folder / name).read_text("utf-8"))

    assert ("shop", f"Ledger {ORIGIN}") == (done["database"], metadata["title"])
    assert done["queries"] == list(metadata["databases"]["shop"]["queries"])
    assert "effects_in_doubt" in shop.rml("export", "datasette", shop.at("other.yaml")).stdout


def test_metadata_under_another_name(shop: Shop) -> None:
    """A backup has a name of its own."""
    done = shop.json("export", "datasette", shop.at("d.yaml"), "--database", "copy")

    assert "copy" == done["database"]
    text = (shop.folder / "d.yaml").read_text("utf-8")
    assert "sql: |-\n          SELECT h.recorded_at" in text  # people read and edit it


# backup -----------------------------------------------------------------------------------------


def test_backup(shop: Shop) -> None:
    """The ledger is named in front of the file, or elsewhere."""
    place = shop.at("shop.db")
    result = CliRunner().invoke(main, ["backup", place, shop.at("one.db")])
    document = shop.json("backup", shop.at("two.db"))

    assert (0, "") == (result.exit_code, result.stderr)
    assert "ok: the copy was verified" in result.stdout
    assert (True, ORIGIN, 7) == tuple(document[name] for name in ("ok", "origin", "size"))
    for name in ("one.db", "two.db"):
        assert 0 == shop.rml("verify", "--ledger", shop.at(name)).exit_code


def test_backups_that_are_refused(shop: Shop) -> None:
    """Each in one line."""
    shop.json("backup", shop.at("copy.db"))

    assert "there already" in shop.refused("backup", shop.at("copy.db"))
    assert "is the ledger itself" in shop.refused("backup", shop.at("shop.db"), "--overwrite")
    assert "one file" in shop.refused("backup", "one", "two", "three")
    assert "Missing argument" in shop.refused("backup")
    shop.json("backup", shop.at("copy.db"), "--overwrite")


# Whoever watches --------------------------------------------------------------------------------


def test_a_terminal_is_shown_how_far_it_is(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar for each step, on stderr alone."""
    monkeypatch.setattr("rml.cli.output.is_terminal", lambda stream: stream is sys.stderr)
    commands = {
        ("backup", shop.at("copy.db")): ["copying", "verifying"],
        ("export", "tiles", shop.at("log")): ["exporting"],
        ("export", "entries", shop.at("entries.jsonl")): ["writing"],
        ("export", "effects", shop.at("effects.parquet")): ["writing"],
        ("export", "bundle", "INC-2026-0001", shop.at("c.zip"), "--key", shop.at("shop.key")): [
            "proving"
        ],
    }
    for command, labels in commands.items():
        result = shop.rml(*command, "--json")

        assert 0 == result.exit_code, result.stderr
        assert all(label in result.stderr for label in labels)
        json.loads(result.stdout)


@pytest.mark.parametrize("command", ["bundle", "datasette", "effects", "entries", "tiles"])
def test_help_of_each_form(command: str) -> None:
    """As of the other commands: an example, `--json`, 80 columns."""
    result = CliRunner().invoke(
        main, ["export", command, "--help"], prog_name="rml", terminal_width=80
    )

    assert 0 == result.exit_code
    assert "--json" in result.stdout
    assert re.search(rf"^  Examples:\n    rml export {command}\b", result.stdout, re.MULTILINE)
    assert 80 >= max(map(len, result.stdout.splitlines()))
