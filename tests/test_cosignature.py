"""A witness's cosignature: who made it, when, and of which checkpoint."""

from datetime import UTC, datetime

import attrs
import pytest
from anchored import SIGNER, STRANGER
from witness import NOW, Witness

from rml import Checkpoint, InvalidInputError, SignatureError, VerifierKey, WitnessKey
from rml.ledger.proofs.cosignature import Trust
from rml.ledger.proofs.note import Note, Signature
from rml.ledger.tree import EMPTY_ROOT

CHECKPOINT = Checkpoint("acme", 0, EMPTY_ROOT, ("an extension",))


@pytest.fixture(scope="module")
def witness() -> Witness:
    """A witness that says what it is asked to."""
    return Witness()


@pytest.fixture
def note(witness: Witness) -> Note:
    """A checkpoint that the ledger has signed and the witness cosigned."""
    signed = CHECKPOINT.signed(SIGNER).to_text()
    return Note.from_text(signed + witness.cosignature(CHECKPOINT.to_text()))


def test_a_cosignature_says_when(witness: Witness, note: Note) -> None:
    """The time is inside what was signed; the newest of several counts."""
    key = WitnessKey.from_text(witness.key)
    witness.now = NOW + 60
    later = witness.cosignature(CHECKPOINT.to_text())
    witness.now = NOW

    assert datetime.fromtimestamp(NOW, UTC) == key.cosigned_at(note)
    both = Note.from_text(note.to_text() + later)
    assert datetime.fromtimestamp(NOW + 60, UTC) == key.cosigned_at(both)
    assert key.cosigned_at(CHECKPOINT.signed(SIGNER)) is None


def test_the_log_s_own_line_and_unknown_ones_mean_nothing_to_it(note: Note) -> None:
    """A key of another witness, or of another kind, finds no line of its own."""
    other = WitnessKey.from_text(Witness().key)

    assert other.cosigned_at(note) is None
    unknown = Signature("acme", b"\0\0\0\6", bytes(2428))  # such as an ML-DSA-44 cosignature
    assert note.verify(SIGNER.verifier) == attrs.evolve(
        note, signatures=(*note.signatures, unknown)
    ).verify(SIGNER.verifier)


@pytest.mark.parametrize("place", [4, 11, 12, 70])
def test_a_changed_cosignature_is_refused(witness: Witness, note: Note, place: int) -> None:
    """In its time or in its signature: it is no reason to overlook the line."""
    log, line = note.signatures
    changed = bytearray(line.key_id + line.signature)
    changed[place] ^= 1
    broken = attrs.evolve(line, signature=bytes(changed[4:]))

    with pytest.raises(SignatureError, match="does not fit"):
        WitnessKey.from_text(witness.key).cosigned_at(attrs.evolve(note, signatures=(log, broken)))


@pytest.mark.parametrize("signature", [b"\0", bytes(8), bytes(71), bytes(73), b"\xff" * 72])
def test_what_has_not_the_form_is_refused(witness: Witness, note: Note, signature: bytes) -> None:
    """Too short, too long, or of a time that no clock shows."""
    log, line = note.signatures
    broken = attrs.evolve(note, signatures=(log, attrs.evolve(line, signature=signature)))

    with pytest.raises(SignatureError):
        WitnessKey.from_text(witness.key).cosigned_at(broken)


def test_it_covers_all_of_the_checkpoint(witness: Witness, note: Note) -> None:
    """Also its extensions, for which the witness does not vouch."""
    key = WitnessKey.from_text(witness.key)
    other = attrs.evolve(note, text=note.text.replace("an extension", "another"))

    with pytest.raises(SignatureError):
        key.cosigned_at(other)


def test_a_time_beyond_the_calendar_is_its_last_second(witness: Witness) -> None:
    """Such a witness has no clock; its word is still its word."""
    witness.now = 2**62
    note = Note.from_text(
        CHECKPOINT.signed(SIGNER).to_text() + witness.cosignature(CHECKPOINT.to_text())
    )
    witness.now = NOW

    assert datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) == WitnessKey.from_text(
        witness.key
    ).cosigned_at(note)


def test_a_published_witness_key_is_read() -> None:
    """One that stands in the tests of transparency-dev/formats (Apache-2.0)."""
    text = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
    key = WitnessKey.from_text(text)

    assert ("remora.n621.de", "da77ade7", text) == (key.name, key.id.hex(), key.to_text())


# ------------------------------------------------------------------------------------------ trust


def test_keys_are_told_apart_by_their_algorithm(witness: Witness) -> None:
    """As text or object, a ledger's keys and those of witnesses."""
    log, other = SIGNER.verifier, WitnessKey.from_text(witness.key)

    assert Trust((log,), (other,)) == Trust.of("acme", [log.to_text(), witness.key])
    assert Trust((log,), (other,)) == Trust.of("acme", iter([other, log]))
    assert Trust((log,)) == Trust.of("acme", log.to_text())
    assert Trust() == Trust.of("acme", ())
    assert Trust((log,), (other,)) == Trust((log,)) | Trust.of("acme", [log, other])


def test_another_ledger_s_key_is_refused() -> None:
    """It would vouch for nothing here, which is a mistake to be told of."""
    with pytest.raises(InvalidInputError, match=r"key 'acme' is not of this ledger.*'other'"):
        Trust.of("other", SIGNER.verifier)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (7, "not a verifier key"),
        (["", SIGNER.verifier], "not a verifier key"),
        ("acme+00000000+BAAA", "no Ed25519 key of algorithm 0x04"),
        (SIGNER.to_text(), "signer key, which is secret"),
        pytest.param(SIGNER.to_text().reveal(), "signer key, which is secret", id="revealed"),
    ],
)
def test_what_is_no_key_is_refused(given: object, said: str) -> None:
    """One line, which shows no secret."""
    with pytest.raises(InvalidInputError, match=said) as caught:
        Trust.of("acme", given)  # type: ignore[arg-type]

    assert SIGNER.to_text().reveal()[-20:] not in caught.value.message


def test_a_ledger_s_key_is_no_witness_s(witness: Witness) -> None:
    """Nor the other way round: the algorithm is inside the text."""
    with pytest.raises(InvalidInputError, match="algorithm 0x04"):
        WitnessKey.from_text(STRANGER.verifier.to_text())
    with pytest.raises(InvalidInputError, match="algorithm 0x01"):
        VerifierKey.from_text(witness.key)
