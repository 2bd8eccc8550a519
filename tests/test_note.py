"""Signed notes are those of C2SP: what counts is who signed, and the format leaves no choice."""

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from rml.error import InvalidInputError
from rml.ledger.errors import SignatureError
from rml.ledger.proofs.note import (
    NOTE_BYTES_MAX,
    SIGNATURES_MAX,
    Note,
    Signature,
    SignerKey,
    VerifierKey,
    encode_base64,
    read_keys,
)
from rml.redact import Secret

TEXT = "Nobody owes anything.\n\nNot even the last line.\n"
SEED = encode_base64(b"\x01" + bytes(range(32)))
PRIVATE = f"PRIVATE+KEY+acme+3cc396f7+{SEED}"
PUBLIC = "acme+3cc396f7+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"


@pytest.fixture
def signer() -> SignerKey:
    """The key of the docstring."""
    return SignerKey.from_text(PRIVATE)


def refused(call: Callable[[], object]) -> str:
    """Why input is refused."""
    with pytest.raises(InvalidInputError) as caught:
        call()
    return caught.value.message


def unsigned(call: Callable[[], object]) -> str:
    """Why a note does not count as signed."""
    with pytest.raises(SignatureError) as caught:
        call()
    return caught.value.message


# --------------------------------------------------------------------------- published vectors


def test_published_notes(vectors: Path) -> None:
    """All 14 open, or are refused for the reason that they give."""
    given = json.loads((vectors / "derived" / "signed_note.json").read_text("utf-8"))
    reasons = {"malformed": InvalidInputError} | dict.fromkeys(
        ("unverified", "invalid signature"), SignatureError
    )
    for case in given["cases"]:
        keys = [VerifierKey.from_text(text) for text in case["keys"]]
        if case["ok"]:
            note = Note.from_text(case["note"])
            assert case["verified"] == len(note.verify(keys)), case["name"]
            assert case["note"] == note.to_text()
            assert case["note"].encode() == Note.from_text(case["note"].encode()).to_text().encode()
        else:
            with pytest.raises(reasons[case["error"]]):
                Note.from_text(case["note"]).verify(keys)

    assert 14 == len(given["cases"])


def test_the_published_signer(vectors: Path) -> None:
    """The same key signs the same text with the same line, and is known by the same text."""
    given = json.loads((vectors / "derived" / "signed_note.json").read_text("utf-8"))["signer"]
    key = SignerKey.from_text(given["skey"])

    note = Note.unsigned(given["text"]).signed(key)

    assert given["vkey"] == key.verifier.to_text()
    assert given["skey"] == key.to_text().reveal()
    assert given["text"] + "\n" + given["expected_signature_line"] == note.to_text()


def test_published_keys_that_are_none(vectors: Path) -> None:
    """One with more after its key, one of an unknown algorithm."""
    given = json.loads((vectors / "derived" / "signed_note.json").read_text("utf-8"))

    longer, unknown = given["bad_vkeys"]
    assert "no canonical base64" in refused(lambda: VerifierKey.from_text(longer))
    assert "no Ed25519 key" in refused(lambda: VerifierKey.from_text(unknown))


def test_published_ed25519_signatures(vectors: Path) -> None:
    """Project Wycheproof: all 151 are decided as they say, with no case left to taste."""
    path = vectors / "wycheproof" / "testvectors_v1" / "ed25519_test.json"
    given = json.loads(path.read_text("utf-8"))
    decided = {}
    for group in given["testGroups"]:
        key = VerifierKey("acme", bytes.fromhex(group["publicKey"]["pk"]))
        for case in group["tests"]:
            message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
            decided[case["tcId"]] = "valid" if key.verifies(message, signature) else "invalid"

    wanted = {case["tcId"]: case["result"] for g in given["testGroups"] for case in g["tests"]}
    assert wanted == decided
    assert given["numberOfTests"] == len(decided)


# ------------------------------------------------------------------------------------------ keys


def test_keys_travel_as_text(signer: SignerKey) -> None:
    """Also with the newline of the file that they came from."""
    assert PUBLIC == signer.verifier.to_text()
    assert signer.verifier == VerifierKey.from_text(f" {PUBLIC}\n")
    assert PRIVATE == SignerKey.from_text(Secret(PRIVATE + "\n")).to_text().reveal()


def test_a_generated_key_signs(signer: SignerKey) -> None:
    """It is another one each time, and its text is enough to sign as it does."""
    one, two = SignerKey.generate("acme"), SignerKey.generate("acme")
    again = SignerKey.from_text(one.to_text())

    assert 3 == len({one.verifier, two.verifier, signer.verifier})
    assert one.sign(TEXT) == again.sign(TEXT)
    assert (one.verifier,) == Note.unsigned(TEXT).signed(again).verify(one.verifier)


def test_a_secret_key_does_not_show_itself(signer: SignerKey) -> None:
    """Neither printed nor pickled; a copy is the same key."""
    for shown in (repr(signer), str(signer), f"{signer}", str(signer.to_text())):
        assert SEED not in shown
        assert str(bytes(range(32))) not in shown
    with pytest.raises(TypeError):
        pickle.dumps(signer)
    assert signer.sign(TEXT) == copy.deepcopy(signer).sign(TEXT)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("begins with 'PRIVATE+KEY+'", PUBLIC),
        ("begins with 'PRIVATE+KEY+'", SEED),
        ("begins with 'PRIVATE+KEY+'", ""),
        ("begins with 'PRIVATE+KEY+'", None),
        ("is not a signer key", "PRIVATE+KEY+"),
        ("is not a signer key", f"PRIVATE+KEY+acme+3cc396f+{SEED}"),
        ("is not a signer key", f"PRIVATE+KEY+acme+3CC396F7+{SEED}"),
        ("is not a signer key", f"PRIVATE+KEY++3cc396f7+{SEED}"),
        ("is not a signer key", f"PRIVATE+KEY+a b+3cc396f7+{SEED}"),
        ("the id of the signer key of 'acme'", f"PRIVATE+KEY+acme+00000000+{SEED}"),
        ("the id of the signer key of 'evil'", f"PRIVATE+KEY+evil+3cc396f7+{SEED}"),
        ("no canonical base64", f"PRIVATE+KEY+acme+3cc396f7+{SEED[:-1]}"),
        ("no canonical base64", f"PRIVATE+KEY+acme+3cc396f7+{SEED}+{SEED}"),
        ("no Ed25519 key", "PRIVATE+KEY+acme+3cc396f7+" + encode_base64(b"\2" + bytes(32))),
        ("no Ed25519 key", "PRIVATE+KEY+acme+3cc396f7+" + encode_base64(b"\1" + bytes(31))),
        ("no Ed25519 key", "PRIVATE+KEY+acme+3cc396f7+"),
    ],
)
def test_a_wrong_signer_key_is_refused_without_showing_it(reason: str, text: str) -> None:
    """What was meant as a secret may be one, whatever is wrong with it."""
    message = refused(lambda: SignerKey.from_text(text))

    assert reason in message
    assert SEED[8:-1] not in message


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("which is secret; give the verifier key", PRIVATE),
        ("which is secret; give the verifier key", Secret(PRIVATE)),
        ("is not a verifier key", PUBLIC.removeprefix("acme+")),
        ("is not a verifier key", ""),
        ("is not a verifier key", 7),
        ("the id of the verifier key of 'evil'", PUBLIC.replace("acme", "evil")),
        ("no canonical base64", PUBLIC + "=="),
        ("no canonical base64", PUBLIC[:-1] + "é"),
    ],
)
def test_a_wrong_verifier_key_is_refused(reason: str, text: object) -> None:
    """A secret one too, so that nobody gets used to handing it out."""
    message = refused(lambda: VerifierKey.from_text(text))

    assert reason in message
    assert SEED[8:-1] not in message


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\1b", 7, "\ud800"])
def test_a_name_that_no_line_can_carry_is_refused(name: str) -> None:
    """Before there is a key that nobody could ever name."""
    assert refused(lambda: SignerKey.generate(name))
    assert refused(lambda: VerifierKey(name, bytes(32)))


@pytest.mark.parametrize("public", [b"", bytes(31), "text"])
def test_a_public_key_has_32_bytes(public: bytes) -> None:
    """Anything else is refused where it is made."""
    assert "has not 32 bytes" in refused(lambda: VerifierKey("acme", public))


# ----------------------------------------------------------------------------------------- notes


def test_a_note_is_read_as_it_was_written(signer: SignerKey) -> None:
    """Empty lines in the text belong to the text; unknown lines are kept, letter by letter."""
    other = Signature("example.com/wit", b"\0\1\2\3", b"anything at all")
    written = Note.unsigned(TEXT).signed(signer).to_text() + other.to_text()

    note = Note.from_text(written)

    assert (TEXT, 2, other) == (note.text, len(note.signatures), note.signatures[1])
    assert written == note.to_text()
    assert (signer.verifier,) == note.verify([PUBLIC])


def test_several_keys_sign_one_note(signer: SignerKey) -> None:
    """In the order of their lines, and each only once, however often it signs."""
    second = SignerKey.generate("acme")
    note = Note.unsigned(TEXT).signed(signer).signed(second)

    assert (signer.verifier, second.verifier) == note.verify([second.verifier, signer.verifier])
    assert (second.verifier,) == note.verify(second.verifier)
    assert 2 == len(note.signed(signer).signatures)
    twice = Note(TEXT, (*note.signatures, *note.signatures))
    assert 2 == len(twice.verify([second.verifier, signer.verifier, PUBLIC]))


def test_who_is_not_trusted_has_not_signed(signer: SignerKey) -> None:
    """Same name or same id is not same key; the message names who signed and who is trusted."""
    note = Note.unsigned(TEXT).signed(signer)
    namesake = SignerKey.generate("acme").verifier

    for keys in ((), (namesake,)):
        message = unsigned(lambda k=keys: note.verify(k))
        assert "signed by acme+3cc396f7" in message
    assert "signed by nobody; trusted: acme" in unsigned(lambda: Note(TEXT, ()).verify(PUBLIC))


def test_one_wrong_signature_of_a_trusted_key_spoils_the_note(signer: SignerKey) -> None:
    """Even beside a right one: somebody has played with it."""
    note = Note.unsigned(TEXT).signed(signer)
    right = note.signatures[0]
    for wrong in (right.signature[:-1] + b"\0", right.signature[:-1], right.signature + b"\0"):
        spoilt = Note(TEXT, (right, Signature(right.name, right.key_id, wrong)))
        assert "does not fit the text" in unsigned(lambda n=spoilt: n.verify(PUBLIC))
    assert "does not fit" in unsigned(lambda: Note("Other.\n", note.signatures).verify(PUBLIC))


def test_two_keys_of_one_name_and_id_are_refused(signer: SignerKey) -> None:
    """Nobody could say whose line it is; an id has only 32 bits, so it can be made by force."""

    class Colliding(VerifierKey):
        id = signer.verifier.id  # type: ignore[assignment]

    other = Colliding("acme", bytes(32))

    assert "share the name 'acme'" in refused(lambda: read_keys([signer.verifier, other]))


SPOILT: dict[str, tuple[str, Callable[[str], object]]] = {
    "no lines": ("no signatures", lambda note: note.partition("\n\n—")[0] + "\n"),
    "no last newline": ("no signatures", lambda note: note.removesuffix("\n")),
    "nothing below": ("no signatures", lambda _: "Nobody.\n\n"),
    "text below": ("no signature line", lambda _: TEXT),
    "text in the lines": ("no signature line", lambda note: note + "more\n— x AAAAAAA=\n"),
    "text at the end": ("no signature line", lambda note: note + "more\n"),
    "a hyphen": ("no signature line", lambda note: note.replace("— ", "- ")),
    "a plus sign": ("no signature line", lambda note: note.replace("— acme", "— ac+me")),
    "no name": ("no signature line", lambda note: note.replace("— acme", "— ")),
    "a space more": ("no canonical base64", lambda note: note.replace("— acme", "— acme x")),
    "other last bits": ("no canonical base64", lambda note: note.replace("0=\n", "1=\n")),
    "an id alone": ("too short", lambda note: note + "— x AAAAAA==\n"),
    "a tab": ("control character", lambda note: note.replace("Nobody", "No\tbody")),
    "line ends of Windows": ("control character", lambda note: note.replace("\n", "\r\n")),
    "other bytes": ("no UTF-8", lambda note: note.encode() + b"\xff"),
    "half a character": ("no UTF-8", lambda note: "\ud800" + note),
    "nothing": ("must be text", lambda _: None),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_no_note_is_refused(name: str) -> None:
    """Each for its reason, in one line."""
    reason, spoil = SPOILT[name]
    key = SignerKey.from_text(PRIVATE)
    text = Note.unsigned("Nobody owes anything.\n").signed(key).to_text()
    assert text.endswith("0=\n")  # so that the last bits of the base64 can be spoilt

    assert reason in refused(lambda: Note.from_text(spoil(text)))  # type: ignore[arg-type]


def test_a_note_has_bounds(signer: SignerKey) -> None:
    """A hundred signatures, a million bytes."""
    line = signer.sign(TEXT).to_text()

    assert SIGNATURES_MAX == len(Note.from_text(TEXT + "\n" + line * SIGNATURES_MAX).signatures)
    assert "101 signatures" in refused(lambda: Note.from_text(TEXT + "\n" + line * 101))
    assert "the limit is 1000000" in refused(lambda: Note.from_text("x" * (NOTE_BYTES_MAX + 1)))


@pytest.mark.parametrize("text", ["", "no newline", "a\tb\n", "\ud800\n"])
def test_a_text_that_no_note_can_carry_is_not_signed(text: str) -> None:
    """It would be signed and never read."""
    assert "the note" in refused(lambda: Note.unsigned(text))
