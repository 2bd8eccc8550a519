"""`rml keygen`, `checkpoint`, `prove` and what `verify` compares with: the way of a checkpoint."""

import json
import os
import re
import shutil
from pathlib import Path

import attrs
import pytest
from anchored import STRANGER, Places, fill
from click.testing import CliRunner, Result
from witness import NAME, Witness, serving

import rml
from rml.cli import main
from rml.files import FileNotWrittenError
from rml.ledger.proofs.checkpoint import open_checkpoint


def run(*args: object, **env: str) -> Result:
    """Run a command line in this process."""
    return CliRunner().invoke(main, [str(arg) for arg in args], env=env, prog_name="rml")


def document(*args: object, status: int = 0) -> dict[str, object]:
    """Run it with --json, and read all of its output."""
    result = run(*args, "--json")
    assert status == result.exit_code, result.stderr
    read: dict[str, object] = json.loads(result.stdout)
    return read


def assert_could_not_tell(result: Result, said: str) -> None:
    """Status 2, nothing on stdout, and one line on stderr that says why."""
    assert (2, "") == (result.exit_code, result.stdout)
    assert re.fullmatch(rf"rml[^\n]*{said}[^\n]*\n", result.stderr), result.stderr


@attrs.frozen
class Shop(Places):
    """A ledger of five entries and its key."""

    @property
    def key(self) -> Path:
        """The secret half."""
        return self.root / "safe" / "shop.key"

    @property
    def vkey(self) -> Path:
        """The public half."""
        return self.root / "safe" / "shop.vkey"

    def checkpoint(self, *more: object) -> Result:
        """State and keep what the ledger is now."""
        return run("checkpoint", self.ledger, "--key", self.key, "--anchor", self.kept, *more)

    def verify(self, *more: object) -> Result:
        """Verify it, trusting its key."""
        return run("verify", self.ledger, "--key", self.vkey, *more)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A ledger whose key was made on the command line."""
    places = Places.under(tmp_path)
    shop = Shop(places.root)
    with shop.bare() as ledger:
        fill(ledger, 5)
    made = run("keygen", "--name", "acme", shop.key)
    shop.vkey.write_text(made.stdout)
    return shop


# keygen ------------------------------------------------------------------------------------------


def test_a_key_is_made_for_its_owner_alone(shop: Shop) -> None:
    """The secret half is in the file, the other one on stdout, and nowhere is the secret shown."""
    signer = rml.SignerKey.from_text(shop.key.read_text())

    assert f"{signer.verifier.to_text()}\n" == shop.vkey.read_text()
    assert 0o600 == shop.key.stat().st_mode & 0o777


def test_a_key_is_never_overwritten(shop: Shop) -> None:
    """A lost key cannot be made again."""
    before = shop.key.read_bytes()

    assert_could_not_tell(run("keygen", "--name", "acme", shop.key), "is there already")
    assert before == shop.key.read_bytes()


def test_a_key_is_named_after_the_ledger(shop: Shop) -> None:
    """After one that is there, after what is said, or after one that is yet to be."""
    folder = shop.root / "safe"
    assert "acme" == document("keygen", "--ledger", shop.ledger, folder / "1")["name"]
    assert (
        "acme"
        == json.loads(run("keygen", folder / "2", "--json", RML_LEDGER=str(shop.ledger)).stdout)[
            "name"
        ]
    )
    made = document("keygen", folder / "3")
    assert str(made["name"]).startswith("rml-ledger/")
    assert str(made["verifier_key"]).startswith(f"{made['name']}+")
    with rml.Ledger(folder / "new.db", signer=(folder / "3").read_text()) as ledger:
        assert made["name"] == ledger.origin


@pytest.mark.parametrize("name", ["", "a b", "a+b", "x" * 256])
def test_a_name_that_no_origin_has_is_refused(shop: Shop, name: str) -> None:
    """And no file is made."""
    assert_could_not_tell(run("keygen", "--name", name, shop.root / "key"), "origin")
    assert not (shop.root / "key").exists()


def test_an_interrupted_keygen_leaves_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither under its name nor under another."""

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    before = sorted(shop.key.parent.iterdir())

    assert 130 == run("keygen", "--name", "acme", shop.root / "safe" / "other").exit_code
    assert before == sorted(shop.key.parent.iterdir())


# checkpoint --------------------------------------------------------------------------------------


def test_a_checkpoint_is_printed_and_kept(shop: Shop) -> None:
    """The same bytes here and there."""
    result = shop.checkpoint()

    assert (0, "") == (result.exit_code, result.stderr)
    assert result.stdout == shop.kept.read_text()
    key = rml.VerifierKey.from_text(shop.vkey.read_text())
    assert 5 == open_checkpoint(result.stdout, keys=key, origin="acme").size


def test_a_checkpoint_as_json(shop: Shop) -> None:
    """The note, and what it says."""
    made = document("checkpoint", "--ledger", shop.ledger, "--key", shop.key)

    assert ("acme", 5, None) == (made["origin"], made["size"], made["problem"])
    assert str(made["checkpoint"]).startswith("acme\n5\n")
    assert 64 == len(str(made["root"]))


def test_a_witness_cosigns_it(shop: Shop) -> None:
    """Its key may be text or a file."""
    witness = Witness(shop.vkey.read_text().strip())
    (shop.root / "witness.vkey").write_text(witness.key)
    with serving(witness) as url:
        for key in (witness.key, shop.root / "witness.vkey"):
            result = shop.checkpoint("--witness", f"{url}={key}")
            assert 0 == result.exit_code
            assert f"\N{EM DASH} {NAME} " in result.stdout
        found = json.loads(
            shop.verify("--anchor", shop.kept, "--witness", f"{url}={witness.key}", "--json").stdout
        )
    assert ("witnessed", True) == (found["level"], found["ok"])


def test_a_checkpoint_is_not_lost_with_an_anchor(shop: Shop) -> None:
    """It is printed, kept where it can be, and the answer is no: not everybody has it."""
    key = Witness().key
    result = shop.checkpoint("--witness", f"http://127.0.0.1:9={key}")

    assert 1 == result.exit_code
    assert result.stdout == shop.kept.read_text()
    assert re.fullmatch(r"rml: not every anchor has kept the checkpoint: .*\n", result.stderr)
    made = document(
        *("checkpoint", shop.ledger, "--key", shop.key, "--witness", f"http://127.0.0.1:9={key}"),
        status=1,
    )
    assert (5, True) == (made["size"], "not every anchor" in str(made["problem"]))


def test_a_ledger_that_was_set_back_gets_no_checkpoint(shop: Shop) -> None:
    """The answer is no, and what was kept stays."""
    shop.checkpoint()
    before = shop.kept.read_bytes()
    shop.remove()
    with shop.bare() as ledger:
        fill(ledger, 4)

    result = shop.checkpoint()

    assert (1, "", before) == (result.exit_code, result.stdout, shop.kept.read_bytes())
    assert "the ledger has 4 entries, and the checkpoint kept in the file" in result.stderr
    assert (
        document(*("checkpoint", shop.ledger, "--key", shop.key, "--anchor", shop.kept), status=1)[
            "checkpoint"
        ]
        is None
    )


# verify ------------------------------------------------------------------------------------------


def test_verify_says_how_far_it_goes(shop: Shop) -> None:
    """Level by level, in words, and what is not covered yet."""
    shop.checkpoint()
    with shop.bare() as ledger:
        fill(ledger, 2)
    result = shop.verify("--anchor", shop.kept)
    words = " ".join(result.stdout.split())

    assert (0, "") == (result.exit_code, result.stderr)
    assert "level anchored signed 5 entries: the key acme+" in words
    assert "anchored 5 entries: the checkpoint kept in the file" in words
    assert "no higher no trusted witness has cosigned" in words
    assert "also 2 entries came after that checkpoint" in words
    assert 80 >= max(len(line) for line in result.stdout.splitlines() if str(shop.root) not in line)


def test_verify_names_what_contradicts(shop: Shop) -> None:
    """Status 1: entries that were kept are gone."""
    shop.checkpoint()
    shop.remove()
    with shop.bare() as ledger:
        fill(ledger, 3)
    result = shop.verify("--anchor", shop.kept)

    assert 1 == result.exit_code
    assert "NOT ok: 1 problem" in result.stdout
    assert "entry 3: the ledger has 3 entries" in " ".join(result.stdout.split())
    assert "[rolled_back]" in result.stdout


def test_verify_takes_a_kept_checkpoint(shop: Shop) -> None:
    """A file of somebody else's; a key as text."""
    shop.checkpoint()
    kept = shop.root / "mail.txt"
    shutil.copy(shop.kept, kept)
    found = document(
        *("verify", shop.ledger, "--checkpoint", kept, "--key", shop.vkey.read_text().strip())
    )

    assert ("signed", [5]) == (found["level"], [one["size"] for one in found["assurances"]])  # type: ignore[attr-defined]


def since(shop: Shop, *more: object) -> Result:
    """Verify what is new."""
    return run("verify", shop.ledger, "--since", shop.root / "seen", *more)


def test_verify_since_remembers_what_it_has_seen(shop: Shop) -> None:
    """Everything at first, then what is new; the file says how far."""
    for size in (5, 5, 8):
        with shop.bare() as ledger:
            fill(ledger, size - ledger.size)
        assert 0 == since(shop).exit_code
        assert size == rml.Checkpoint.from_text((shop.root / "seen").read_text()).size


def test_verify_since_does_not_forget_what_it_has_seen(shop: Shop) -> None:
    """When something is wrong, the file stays as it is."""
    since(shop)
    before = (shop.root / "seen").read_bytes()
    shop.remove()
    with shop.bare() as ledger:
        fill(ledger, 6)
    result = since(shop)

    assert (1, before) == (result.exit_code, (shop.root / "seen").read_bytes())
    assert "[forked]" in result.stdout
    shop.remove()
    with shop.bare() as ledger:
        fill(ledger, 1)
    assert "[rolled_back]" in since(shop).stdout


def test_verify_since_keeps_its_hands_off_what_others_keep(shop: Shop) -> None:
    """A signed checkpoint, another file, the ledger itself: none is replaced."""
    shop.checkpoint()
    for path, said in (
        (shop.kept, "holds a signed checkpoint"),
        (shop.vkey, "holds no checkpoint"),
        (shop.ledger, "holds no checkpoint: it is something else"),
        (shop.root / "nowhere" / "seen", "does not exist"),
    ):
        before = path.read_bytes() if path.exists() else None
        assert_could_not_tell(run("verify", shop.ledger, "--since", path), said)
        assert before == (path.read_bytes() if path.exists() else None)


def test_verify_since_tells_when_it_cannot_remember(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full: the answer would be lost on the next run."""

    def full(*_: object, **__: object) -> None:
        raise FileNotWrittenError("No space left on device")

    monkeypatch.setattr("rml.ledger.anchors.file_anchor.writing", full)
    assert_could_not_tell(since(shop), "No space left")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--key", "nowhere"], "the key in nowhere cannot be read: No such file"),
        (["--key", "{ledger}"], "holds no key"),
        (["--key", "{key}"], "signer key, which is secret"),
        (["--key", "acme+00000000+AAAA"], "no Ed25519 key"),
        (["--key", "{other}"], "is not of this ledger"),
        (["--key", "{stranger}", "--anchor", "{kept}"], "no trusted key has signed"),
        (["--anchor", "nowhere"], "does not exist"),
        (["--anchor", "{vkey}"], "holds no checkpoint"),
        (["--anchor", "{ledger}"], "belongs to the ledger"),
        (["--checkpoint", "nowhere"], "does not exist"),
        (["--checkpoint", "{vkey}"], "holds no checkpoint"),
        (["--checkpoint", "{ledger}"], "holds no checkpoint"),
        (["--witness", "https://witness.example"], "is not URL=VKEY"),
        (["--witness", "https://witness.example="], "is not URL=VKEY"),
        (["--witness", "witness.example={witness}"], "give the witness's prefix"),
        (["--witness", "https://witness.example={vkey}"], "algorithm 0x04"),
    ],
)
def test_verify_names_what_it_cannot_use(shop: Shop, args: list[str], said: str) -> None:
    """One line, status 2, and nothing has changed."""
    shop.checkpoint()
    values = {
        "ledger": shop.ledger,
        "key": shop.key,
        "vkey": shop.vkey,
        "kept": shop.kept,
        "witness": Witness().key,
        "stranger": STRANGER.verifier.to_text(),
        "other": rml.SignerKey.generate("other").verifier.to_text(),
    }
    before = {path: path.read_bytes() for path in (shop.ledger, shop.kept, shop.vkey)}

    result = run("verify", shop.ledger, *[arg.format(**values) for arg in args])

    assert_could_not_tell(result, re.escape(said))
    assert before == {path: path.read_bytes() for path in before}


# prove -------------------------------------------------------------------------------------------


def test_an_entry_is_proved_to_somebody_without_a_ledger(shop: Shop) -> None:
    """The file brings the entry along; the key comes another way."""
    path = shop.root / "entry.tlog-proof"
    made = run("prove", shop.ledger, "3", "--key", shop.key, "-o", path)
    shop.remove()
    checked = run("prove", "--check", path, "--key", shop.vkey)

    assert (0, f"{path}: entry 3, in a ledger of 5 entries\n") == (made.exit_code, made.stdout)
    assert (0, "") == (checked.exit_code, checked.stderr)
    assert re.search(r"^entry +3, in a ledger of 5 entries$", checked.stdout, re.MULTILINE)
    assert re.search(r"^kind +a.b$", checked.stdout, re.MULTILINE)
    assert "ok: the entry is in the ledger" in checked.stdout


def test_a_proof_goes_to_stdout_or_into_json(shop: Shop) -> None:
    """By the entry's id as well; the text is a C2SP tlog-proof."""
    with shop.bare() as ledger:
        entry = ledger.entries(limit=1)[0]
    text = run("prove", entry.id.upper(), "--key", shop.key, RML_LEDGER=str(shop.ledger)).stdout
    made = document("prove", shop.ledger, "0", "--key", shop.key)

    assert text.startswith("c2sp.org/tlog-proof@v1\nextra ")
    assert text == made["proof"]
    proof = rml.InclusionProof.from_text(text)
    assert (entry.to_bytes(), 5) == (proof.extra, made["size"])


def test_a_proof_against_a_witnessed_checkpoint(shop: Shop) -> None:
    """Whoever proves needs no key; whoever checks may insist on the witness."""
    witness = Witness(shop.vkey.read_text().strip())
    with serving(witness) as url:
        shop.checkpoint("--witness", f"{url}={witness.key}")
    with shop.bare() as ledger:
        fill(ledger, 2)
    path = shop.root / "entry.tlog-proof"
    run("prove", shop.ledger, "3", "--checkpoint", shop.kept, "-o", path)
    checked = document("prove", "--check", path, "--key", shop.vkey, "--key", witness.key)

    assert (True, 3, 5) == (checked["proved"], checked["index"], checked["size"])
    assert {NAME: "2026-11-20T19:00:00.000000Z"} == checked["cosigned"]
    other = Witness(name="w2").key
    missing = run("prove", "--check", path, "--key", shop.vkey, "--key", other)
    assert (1, "") == (missing.exit_code, missing.stdout)
    assert "not proved: the witness w2 has not cosigned" in missing.stderr
    assert_could_not_tell(
        run("prove", "--check", path, "--key", witness.key), "a witness alone vouches for no"
    )


def test_a_proof_against_a_checkpoint_that_the_reader_trusts(shop: Shop) -> None:
    """Neither of the two needs a key; another checkpoint proves nothing."""
    kept = shop.root / "kept"
    with shop.bare() as ledger:
        kept.write_text(ledger.checkpoint())
        (shop.root / "other").write_text(ledger.prove_consistency(0, 4).checkpoint)
    path = shop.root / "entry.tlog-proof"
    run("prove", shop.ledger, "3", "-o", path)

    assert 0 == run("prove", "--check", path, "--checkpoint", kept).exit_code
    assert 1 == run("prove", "--check", path, "--checkpoint", shop.root / "other").exit_code
    assert 1 == run("prove", "--check", path, "--key", shop.vkey).exit_code


def test_a_changed_proof_or_entry_is_not_proved(shop: Shop) -> None:
    """Status 1 and why; as JSON too."""
    text = run("prove", shop.ledger, "3", "--key", shop.key).stdout
    path, entry = shop.root / "proof", shop.root / "entry"
    entry.write_bytes(b"[]")
    path.write_text(text)
    changed = run("prove", "--check", path, "--key", shop.vkey, "--entry", entry)
    strange = document(*("prove", "--check", path, "--key", STRANGER.verifier.to_text()), status=1)
    path.write_text(text.replace("index 3", "index 2"))

    assert (1, "") == (changed.exit_code, changed.stdout)
    assert "not proved: the entry and the proof do not give the root" in changed.stderr
    assert (False, True) == (strange["proved"], "no trusted key" in str(strange["why"]))
    assert 1 == run("prove", "--check", path, "--key", shop.vkey).exit_code


def test_bytes_of_another_log_are_proved_as_well(shop: Shop, tmp_path: Path) -> None:
    """The receiver's check knows nothing of our format, and shows what it can."""
    path = tmp_path / "proof"
    text = run("prove", shop.ledger, "3", "--key", shop.key).stdout
    proof = rml.InclusionProof.from_text(text)
    path.write_text(attrs.evolve(proof, extra=None).to_text())
    entry = tmp_path / "entry"
    entry.write_bytes(proof.extra or b"")

    assert 0 == run("prove", "--check", path, "--key", shop.vkey, "--entry", entry).exit_code
    assert_could_not_tell(
        run("prove", "--check", path, "--key", shop.vkey), "does not bring its entry along"
    )


def test_nothing_is_proved_from_a_ledger_that_was_changed(shop: Shop) -> None:
    """Against a checkpoint that it does not continue: the answer is no."""
    shop.checkpoint()
    shop.remove()
    with shop.bare() as ledger:
        fill(ledger, 6)
    result = run("prove", shop.ledger, "3", "--checkpoint", shop.kept)

    assert (1, "") == (result.exit_code, result.stdout)
    assert "the first 5 entries are not those of the checkpoint" in result.stderr


def test_a_checkpoint_from_the_future_proves_nothing(shop: Shop) -> None:
    """The ledger was set back since: the answer is no, and it names the checkpoint."""
    shop.checkpoint()
    shop.remove()
    with shop.bare() as ledger:
        fill(ledger, 4)
    result = run("prove", shop.ledger, "3", "--checkpoint", shop.kept)

    assert (1, "") == (result.exit_code, result.stdout)
    assert "covers 5 entries, and the ledger has 4: it was set back" in result.stderr


def test_a_checkpoint_from_before_the_entry_proves_nothing(shop: Shop) -> None:
    """It could not tell: a newer one may."""
    shop.checkpoint()
    with shop.bare() as ledger:
        fill(ledger, 1)

    result = run("prove", shop.ledger, "5", "--checkpoint", shop.kept)

    assert_could_not_tell(result, "covers 5 entries, and entry 5 came after it; give a newer one")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "name a ledger and one of its entries"),
        (["a", "b", "c"], "name a ledger and one of its entries"),
        (["{ledger}", "5", "--key", "{key}"], "there is no entry 5: the ledger has 5"),
        (["{ledger}", "nobody", "--key", "{key}"], "no entry 'nobody' is in this ledger"),
        (["{ledger}", "3", "--key", "{vkey}"], "a signer key begins with"),
        (["{ledger}", "3", "--key", "{other}"], "is the ledger 'acme', not 'other'"),
        (["{ledger}", "3", "--key", "nowhere"], "cannot be read"),
        (["{ledger}", "3", "--key", "{key}", "--checkpoint", "{kept}"], "one --key, or"),
        (["{ledger}", "3", "--key", "{key}", "-o", "{kept}"], "is there already"),
        (["{ledger}", "3", "--entry", "{kept}"], "--entry goes with --check"),
        (["{ledger}", "--check", "{kept}", "--key", "{vkey}"], "needs no ledger"),
        (["--check", "{kept}"], "a proof shows nothing by itself"),
        (["--check", "{kept}", "--key", "{vkey}"], "the proof does not begin with"),
        (["--check", "{ledger}", "--key", "{vkey}"], "the proof is no UTF-8 text"),
        (["--check", "{proof}", "--key", "{key}"], "signer key, which is secret"),
        (["--check", "nowhere", "--key", "{vkey}"], "does not exist"),
    ],
)
def test_prove_names_what_it_cannot_use(shop: Shop, args: list[str], said: str) -> None:
    """One line, status 2, and nothing has changed."""
    shop.checkpoint()
    other, proof = shop.root / "other.key", shop.root / "proof"
    run("keygen", "--name", "other", other)
    run("prove", shop.ledger, "3", "--key", shop.key, "-o", proof)
    names = ("ledger", "key", "vkey", "kept")
    values = {name: getattr(shop, name) for name in names} | {"other": other, "proof": proof}
    before = {path: path.read_bytes() for path in values.values()}

    result = run("prove", *[arg.format(**values) for arg in args])

    assert_could_not_tell(result, re.escape(said))
    assert before == {path: path.read_bytes() for path in before}
