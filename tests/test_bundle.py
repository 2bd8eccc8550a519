"""A signed bundle shows what it says to somebody who has a key and nothing else."""

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from tlog_reader import tree_hash, verify_note

import rml
from rml.clock import SeededIds
from rml.export import bundle as bundle_module
from rml.export.belonging import belonging
from rml.export.pages import removals
from rml.ledger.entry import commit
from rml.ledger.ledger import Ledger
from rml.testing.scribe import Scribe

ORIGIN = "shop.example/payments"
INCIDENT = "INC-2026-0001"


@pytest.fixture(scope="module")
def signer() -> rml.SignerKey:
    """The key of the ledger."""
    return rml.SignerKey.generate(ORIGIN)


@pytest.fixture
def shop(signer: rml.SignerKey, clock: rml.FrozenClock) -> Iterator[Ledger]:
    """A charge that was lost, its case, a charge done, refunded, and partly erased."""
    with rml.Ledger("memory:", signer=signer, clock=clock, ids=SeededIds(1)) as ledger:

        @rml.idempotent("payment.charge", key="payment", personal=("email",), ledger=ledger)
        def charge(payment: str, email: str) -> str:
            clock.advance(60)
            if payment == "lost":
                raise TimeoutError
            return "ch-1"

        @rml.idempotent(
            "payment.refund", key="payment", corrects=lambda payment: done.id, ledger=ledger
        )
        def refund(payment: str) -> str:
            return "re-1"

        charge("paid", "ada@example.com")
        (done,) = ledger.entries(kind="effect.done")
        with pytest.raises(TimeoutError):
            charge("lost", "bob@example.com")
        case = rml.Casebook(ledger)[INCIDENT]
        case.contain("off", by="Ada", lever="flag_off")
        refund("paid")
        clock.advance(86_400)
        ledger.erase(
            ledger.entries(kind="effect.intent")[0].id, ["email"], by="dpo", reason="asked"
        )
        yield ledger


def effect(ledger: Ledger, key: str, operation: str = "payment.charge") -> str:
    """The id of an effect."""
    return ledger.effects(key=key, operation=operation)[0].id


def members(path: Path) -> dict[str, bytes]:
    """What is in an archive, as any tool unpacks it."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def kinds(bundle: rml.Bundle) -> list[str]:
    """The kinds of a bundle's entries."""
    return [entry.kind for entry in bundle.entries]


# What belongs -----------------------------------------------------------------------------------


def test_an_incident_brings_its_effects(shop: Ledger, signer: rml.SignerKey) -> None:
    """Its own entries, and all of the lost charge; nothing of the other one."""
    bundle = rml.Bundle.of(shop, INCIDENT)

    own = {entry.id for entry in shop.entries(incident=INCIDENT)}
    lost = {entry.id for entry in shop.entries(effect=effect(shop, "lost"))}
    assert own | lost == {entry.id for entry in bundle.entries}
    assert shop.size == bundle.verify(signer.verifier).size


def test_what_a_case_did_belongs_to_it(shop: Ledger) -> None:
    """An action that names corrections brings the effects that made them."""
    case = rml.Casebook(shop)[INCIDENT]
    case.understand("one charge", by="Ada", severity="SEV-3", asset=["money"], transactions=1)
    case.decide("refund", decided_by={"sre": "Ada", "business": "Tom", "legal": "Rosa"})
    refund = effect(shop, "paid", "payment.refund")
    case.act("refund", by="Tom", corrections=[refund])

    bundle = rml.Bundle.of(shop, INCIDENT)

    assert {e.id for e in shop.entries(effect=refund)} < {e.id for e in bundle.entries}


def test_an_effect_brings_its_corrections(shop: Ledger) -> None:
    """The refund comes whole, and the erasure, which corrects an entry, too."""
    bundle = rml.Bundle.of(shop, effect(shop, "paid"))

    refund = [entry.id for entry in shop.entries(effect=effect(shop, "paid", "payment.refund"))]
    assert {*refund} < {entry.id for entry in bundle.entries}
    assert "payload.erased" in kinds(bundle)


def test_an_entry_comes_alone_with_its_corrections(shop: Ledger) -> None:
    """Who asks for one entry shows no more of its effect."""
    (done, _) = shop.entries(kind="effect.done")
    bundle = rml.Bundle.of(shop, done.id)

    assert ["effect.done", "effect.done"] == kinds(bundle)
    assert done.id == bundle.entries[1].corrects


def test_what_comes_later_is_not_in_it(shop: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is of one moment: that of the checkpoint."""
    before = rml.Bundle.of(shop, INCIDENT)
    checkpoint = shop.checkpoint
    text = checkpoint()

    def stale() -> str:
        return text

    rml.Casebook(shop)[INCIDENT].detect("more of it", by="Ada")
    monkeypatch.setattr(shop, "checkpoint", stale)

    assert before == rml.Bundle.of(shop, INCIDENT)


@pytest.mark.parametrize(
    ("about", "kind", "why"),
    [
        ([], rml.InvalidInputError, "name one incident"),
        ([INCIDENT, "INC-2026-0002"], rml.InvalidInputError, "name one incident"),
        ([INCIDENT, "ef_" + "0" * 32], rml.InvalidInputError, "not a mixture"),
        (["INC-2026-0009"], rml.UnknownIdError, "no incident 'INC-2026-0009' is here"),
        (["ef_" + "0" * 32], rml.UnknownIdError, "no effect"),
        (["no such id"], rml.UnknownIdError, "no entry 'no such id' is here"),
    ],
    ids=["nothing", "two incidents", "mixture", "incident", "effect", "entry"],
)
def test_what_is_not_there_is_not_bundled(
    shop: Ledger, about: list[str], kind: type[rml.RmlError], why: str
) -> None:
    """Each refusal names what was asked for."""
    with pytest.raises(kind, match=why):
        rml.Bundle.of(shop, *about)


def test_a_bundle_is_signed_and_has_a_limit(shop: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key nobody vouches for it; a whole ledger is exported in another way."""
    with rml.Ledger("memory:") as unsigned:
        receipt = unsigned.append("shop.note", world="RML1")
        with pytest.raises(rml.InvalidInputError, match="open it with signer="):
            rml.Bundle.of(unsigned, receipt.id)
    with pytest.raises(rml.InvalidInputError, match=r"must be an rml\.Ledger, not str"):
        rml.Bundle.of("shop.db", INCIDENT)  # type: ignore[arg-type]

    monkeypatch.setattr(bundle_module, "ENTRIES_MAX", 2)
    with pytest.raises(rml.LimitError, match="export tiles"):
        rml.Bundle.of(shop, INCIDENT)


def test_progress_is_told(shop: Ledger) -> None:
    """Entry by entry."""
    told: list[tuple[int, int]] = []

    bundle = rml.Bundle.of(shop, INCIDENT, progress=lambda *args: told.append(args))

    count = len(bundle.items)
    assert [(done, count) for done in range(1, count + 1)] == told


# Personal values --------------------------------------------------------------------------------


def test_nothing_personal_is_disclosed_unless_named(shop: Ledger, tmp_path: Path) -> None:
    """Neither the value nor its salt is anywhere in the file."""
    bundle = rml.Bundle.of(shop, INCIDENT)
    bundle.write(tmp_path / "case.zip")

    everything = b"".join(members(tmp_path / "case.zip").values())
    row = next(row for row in shop._store.rows() if b"bob@example.com" in (row.personal or b""))
    salt = json.loads(row.personal or b"")["email"][0]
    assert b"bob@example.com" not in everything
    assert salt.encode() not in everything
    assert b'"email": "withheld"' in bundle.pages["manifest.json"]


def test_a_named_field_is_disclosed(shop: Ledger, signer: rml.SignerKey, tmp_path: Path) -> None:
    """Value and salt, which anybody can hash."""
    rml.Bundle.of(shop, INCIDENT, disclose=["email"]).write(tmp_path / "case.zip")
    bundle = rml.Bundle.read(tmp_path / "case.zip")
    bundle.verify(signer.verifier)

    (intent,) = [entry for entry in bundle.entries if "email" in entry.commitments]
    assert {"email": "bob@example.com"} == dict(intent.personal)
    disclosed = json.loads(members(tmp_path / "case.zip")[f"disclosed/{intent.index}.json"])
    ((salt, value),) = disclosed.values()
    assert intent.commitments["email"] == commit(salt, "email", value)
    assert b'"email": "disclosed"' in bundle.pages["manifest.json"]


def test_an_erased_field_says_so(shop: Ledger) -> None:
    """With the day, and the entry that records it."""
    bundle = rml.Bundle.of(shop, effect(shop, "paid"), disclose=["email"])

    erasing = next(entry for entry in bundle.entries if entry.kind == "payload.erased")
    said = f'"email": "erased on 2026-11-21 (entry {erasing.index})"'
    assert said.encode() in bundle.pages["manifest.json"]
    assert not any(item.disclosed for item in bundle.items)


def test_a_pruned_field_says_so(
    shop: Ledger, signer: rml.SignerKey, clock: rml.FrozenClock
) -> None:
    """The entry that records the pruning is in the bundle, and shows it."""
    note = shop.append("shop.note", world="RML1", personal={"who": "Grace"})
    clock.advance(86_400)
    shop.prune(before=clock.now(), by="dpo", reason="two years")

    bundle = rml.Bundle.of(shop, note.id)

    assert ["shop.note", "payload.pruned"] == kinds(bundle)
    assert (
        f'"who": "pruned on 2026-11-22 (entry {shop.size - 1})"'
        in bundle.pages["manifest.json"].decode()
    )
    bundle.verify(signer.verifier)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (["e-mail"], "has a personal field 'e-mail'; they have: email, rml.request"),
        ("email", "a list of the names to disclose"),
    ],
)
def test_fields_that_are_not_there(shop: Ledger, fields: Any, why: str) -> None:
    """A slip of the finger does not go unnoticed."""
    with pytest.raises(rml.InvalidInputError, match=why):
        rml.Bundle.of(shop, INCIDENT, disclose=fields)


def test_single_fields_are_disclosed_by_the_ledger(shop: Ledger) -> None:
    """Whoever hands out an entry in another way can hand out its fields, too."""
    intent = shop.entries(effect=effect(shop, "lost"))[0]
    (field,) = shop.disclose(intent.id, ["email"])

    assert ("email", "bob@example.com", True) == (field.name, field.value, field.opens(intent))
    assert "bob@example.com" not in repr(field)
    assert not attrs.evolve(field, value="eve@example.com").opens(intent)
    assert not attrs.evolve(field, value=1.5).opens(intent)
    with pytest.raises(rml.InvalidInputError, match=r"'email' of the entry \S+ is erased"):
        shop.disclose(shop.entries(kind="effect.intent")[0].id, ["email"])
    with pytest.raises(rml.InvalidInputError, match=r"it can disclose: email, rml\.request"):
        shop.disclose(intent.id, ["phone"])


# What an outsider has ---------------------------------------------------------------------------


def test_the_file_is_what_it_says(shop: Ledger, signer: rml.SignerKey, tmp_path: Path) -> None:
    """By the specifications alone: the note's signature, each entry's proof, hash by hash."""
    rml.Bundle.of(shop, INCIDENT).write(tmp_path / "case.zip")
    files = members(tmp_path / "case.zip")
    lines = verify_note(files["checkpoint"].decode(), signer.verifier.to_text())
    leaves = [row.leaf for row in shop._store.rows()]
    entries = {int(n[8:-5]): data for n, data in files.items() if n.startswith("entries/")}

    assert [ORIGIN, str(shop.size)] == lines[:2]
    assert tree_hash(leaves).hex() == shop.root
    for index, data in entries.items():
        proof = files[f"proofs/{index}.tlog-proof"].decode()
        assert proof.startswith(f"c2sp.org/tlog-proof@v1\nindex {index}\n")
        assert proof.endswith("\n\n" + files["checkpoint"].decode())
        assert shop.entry(json.loads(data)[1]["id"]).to_bytes() == data
        rml.InclusionProof.from_text(proof).verify(data, keys=signer.verifier)
    assert b"rml verify-bundle FILE --key" in files["README.txt"]


def test_the_case_file_is_that_of_the_casebook(shop: Ledger) -> None:
    """Word for word, at the checkpoint's size."""
    bundle = rml.Bundle.of(shop, INCIDENT)

    assert rml.Casebook(shop)[INCIDENT].to_yaml() == bundle.pages["casefile.yaml"].decode()
    assert "casefile.yaml" not in rml.Bundle.of(shop, effect(shop, "lost")).pages


def test_a_bundle_travels(shop: Ledger, tmp_path: Path) -> None:
    """What is read is what was written, and the same bundle gives the same bytes."""
    bundle = rml.Bundle.of(shop, INCIDENT, disclose=["email"])
    bundle.write(tmp_path / "one.zip")
    bundle.write(tmp_path / "two.zip")

    assert bundle == rml.Bundle.read(tmp_path / "one.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert 0o600 == (tmp_path / "one.zip").stat().st_mode & 0o777
    with pytest.raises(rml.FileNotWrittenError, match="there already"):
        bundle.write(tmp_path / "one.zip")


# What it does not show --------------------------------------------------------------------------


def refused(bundle: rml.Bundle, signer: rml.SignerKey, kind: type[rml.RmlError]) -> str:
    """Why a bundle is not believed."""
    with pytest.raises(kind) as caught:
        bundle.verify(signer.verifier)
    return caught.value.message


def changed(bundle: rml.Bundle, place: int, **changes: Any) -> rml.Bundle:
    """A bundle with one entry changed."""
    items = list(bundle.items)
    items[place] = attrs.evolve(items[place], **changes)
    return attrs.evolve(bundle, items=tuple(items))


Forge = Callable[[rml.Bundle], rml.Bundle]
FORGERIES: dict[str, tuple[Forge, type[rml.RmlError], str]] = {
    "an entry's bytes": (
        lambda b: changed(b, 0, data=b.items[0].data.replace(b"lost", b"paid")),
        rml.ProofError,
        "of the bundle: the entry and the proof do not give the root",
    ),
    "another entry's proof": (
        lambda b: changed(b, 0, proof=b.items[1].proof),
        rml.ProofError,
        "do not give the root",
    ),
    "a proof against another checkpoint": (
        lambda b: changed(b, 0, proof=attrs.evolve(b.items[0].proof, checkpoint="x\n")),
        rml.ProofError,
        "another checkpoint than the bundle's",
    ),
    "a disclosed value": (
        lambda b: changed(b, 0, disclosed=(rml.Disclosure("email", "A" * 22, "eve@example.com"),)),
        rml.ProofError,
        "'email' is not what the entry commits to",
    ),
    "the checkpoint": (
        lambda b: attrs.evolve(b, checkpoint=b.checkpoint.replace(f"\n{9}\n", "\n8\n")),
        rml.SignatureError,
        "does not fit the text",
    ),
    "no signature": (
        lambda b: attrs.evolve(b, checkpoint=b.checkpoint.partition("\n\n")[0] + "\n"),
        rml.SignatureError,
        "is not signed",
    ),
    "the case file": (
        lambda b: attrs.evolve(b, pages={**b.pages, "casefile.yaml": b"all is well\n"}),
        rml.ProofError,
        "casefile.yaml is not what the entries say",
    ),
    "no case file": (
        lambda b: attrs.evolve(b, pages={n: p for n, p in b.pages.items() if n[0] != "c"}),
        rml.ProofError,
        "casefile.yaml is not what the entries say",
    ),
    "an entry left out that the pages tell of": (
        lambda b: attrs.evolve(b, items=b.items[:-1]),
        rml.ProofError,
        "is not what the entries say",
    ),
    "no entries": (
        lambda b: attrs.evolve(b, items=()),
        rml.ProofError,
        "is not about 'INC-2026-0001'",
    ),
    "about something else": (
        lambda b: attrs.evolve(b, about=("INC-2026-0002",)),
        rml.ProofError,
        "is not about 'INC-2026-0002'",
    ),
    "pages of another version": (
        lambda b: attrs.evolve(b, made_by="99.0"),
        rml.InvalidInputError,
        "was made by rml '99.0'",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_bundle_is_not_believed(shop: Ledger, signer: rml.SignerKey, forgery: str) -> None:
    """Whatever is changed, one line says what does not hold."""
    forge, kind, why = FORGERIES[forgery]
    bundle = rml.Bundle.of(shop, INCIDENT)
    assert "\n9\n" in bundle.checkpoint

    assert why in refused(forge(bundle), signer, kind)


def test_an_entry_of_something_else(shop: Ledger, signer: rml.SignerKey) -> None:
    """Proven, and still no part of the case: a bundle is not padded with other people's affairs."""
    case, other = rml.Bundle.of(shop, INCIDENT), rml.Bundle.of(shop, effect(shop, "paid"))
    items = sorted([*case.items, other.items[0]], key=lambda item: item.index)

    assert "does not belong to 'INC-2026-0001'" in refused(
        attrs.evolve(case, items=tuple(items)), signer, rml.ProofError
    )


@pytest.mark.parametrize("fields", [None, 5, True, {"who": 1}, "who"])
def test_an_erasure_of_no_fields(signer: rml.SignerKey, fields: Any) -> None:
    """A ledger that others write may hold any facts under any kind; the pages pass them over."""
    with rml.Ledger("memory:", signer=signer) as ledger:
        note = ledger.append("shop.note", world="RML1", personal={"w": 1})
        odd = Scribe(ledger.origin)
        odd.append(ledger._store, kind="payload.erased", corrects=note.id, facts={"fields": fields})
        bundle = rml.Bundle.of(ledger, note.id)

    assert 2 == bundle.verify(signer.verifier).size
    assert {} == removals(bundle.entries)


def test_pages_of_another_version_can_be_left_out(shop: Ledger, signer: rml.SignerKey) -> None:
    """The entries and their proofs hold whatever version made the pages."""
    bundle = attrs.evolve(rml.Bundle.of(shop, INCIDENT), made_by="99.0")

    assert shop.size == bundle.verify(signer.verifier, generated=False).size


def test_only_the_ledgers_own_key_counts(shop: Ledger, signer: rml.SignerKey) -> None:
    """A stranger's key does not, and neither does one that is trusted for another ledger."""
    bundle = rml.Bundle.of(shop, INCIDENT)
    stranger = rml.SignerKey.generate(ORIGIN)
    other = rml.SignerKey.generate("other.example/ledger")

    assert "no trusted key has signed this" in refused(bundle, stranger, rml.SignatureError)
    note = bundle.checkpoint.partition("\n\n")[0] + "\n"
    text = rml.Checkpoint.from_text(note).signed(other).to_text()
    items = tuple(
        attrs.evolve(item, proof=attrs.evolve(item.proof, checkpoint=text)) for item in bundle.items
    )
    posing = attrs.evolve(bundle, checkpoint=text, items=items)
    assert "the trusted key that signed it is of 'other.example/ledger'" in refused(
        posing, other, rml.SignatureError
    )
    assert shop.size == bundle.verify([other.verifier, signer.verifier.to_text()]).size


def test_belonging_is_the_same_in_the_ledger_and_in_the_bundle(shop: Ledger) -> None:
    """One rule gathers and checks, so a bundle that was made is one that is believed."""
    for entry in shop.entries():
        bundle = rml.Bundle.of(shop, entry.id)
        bundle.verify(shop._notary.trust.keys)
        assert entry.id in {one.id for one in bundle.entries}
    with pytest.raises(rml.InvalidInputError):
        belonging((), lambda name, value: ())


def test_proofs_may_share_a_checkpoint(shop: Ledger, signer: rml.SignerKey) -> None:
    """Those that are asked for at one size, which has to cover the entry and be one of the past."""
    first, second = shop.entries()[0], shop.entries()[1]
    proofs = [shop.prove(entry.id, size=3) for entry in (first, second)]

    assert proofs[0].checkpoint == proofs[1].checkpoint
    for proof, entry in zip(proofs, (first, second), strict=True):
        assert 3 == proof.verify(entry, keys=signer.verifier).size
    for size in (1, shop.size + 1, True, "3"):
        with pytest.raises(rml.InvalidInputError, match="give a number of entries from 2 to"):
            shop.prove(second.id, size=size)  # type: ignore[arg-type]
