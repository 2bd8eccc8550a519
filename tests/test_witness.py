"""Asking a witness: what it answers, what it may answer, and what is made of it."""

import socket
import threading
from collections.abc import Iterator

import pytest
from anchored import SIGNER, STRANGER, fill, size_of
from witness import NAME, REFUSED, SIZE, Answer, Witness, serving

import rml
from rml import (
    AnchorError,
    InvalidInputError,
    Ledger,
    LedgerCorruptError,
    ProofError,
    WitnessAnchor,
)
from rml.ledger.anchors import post
from rml.ledger.proofs.checkpoint import Checkpoint, read_checkpoint
from rml.ledger.tree import EMPTY_ROOT


@pytest.fixture
def witness() -> Witness:
    """A witness that knows the ledger."""
    return Witness(SIGNER.verifier.to_text())


@pytest.fixture
def url(witness: Witness) -> Iterator[str]:
    """Where it listens."""
    with serving(witness) as prefix:
        yield prefix


@pytest.fixture
def anchor(witness: Witness, url: str) -> WitnessAnchor:
    """The way there."""
    return WitnessAnchor(url, witness.key)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger with a key, of three entries, and without anchors."""
    with Ledger("memory:", signer=SIGNER) as made:
        fill(made, 3)
        yield made


def keep(anchor: WitnessAnchor, ledger: Ledger) -> str:
    """Have the present checkpoint cosigned."""
    return anchor.keep(ledger.checkpoint(), ledger.prove_consistency)


def test_checkpoints_are_cosigned_as_the_ledger_grows(
    anchor: WitnessAnchor, ledger: Ledger, witness: Witness
) -> None:
    """One request each: the size that was cosigned last is remembered."""
    for size in (3, 4, 300, 300):
        fill(ledger, size - ledger.size)
        text = ledger.checkpoint()
        cosigned = anchor.keep(text, ledger.prove_consistency)

        assert cosigned.startswith(text)
        (_, line) = read_checkpoint(cosigned)[1].signatures  # type: ignore[union-attr]
        assert (NAME, cosigned) == (line.name, anchor.last("acme"))
        assert rml.WitnessKey.from_text(witness.key).cosigned_at(read_checkpoint(cosigned)[1])  # type: ignore[arg-type]
    assert [0, 3, 4, 300] == [int(body.split()[1]) for body in witness.requests]


def test_who_does_not_know_the_size_asks_twice(
    anchor: WitnessAnchor, url: str, ledger: Ledger, witness: Witness
) -> None:
    """409 says which proof is wanted; it is sent, once."""
    keep(anchor, ledger)
    fill(ledger, 5)
    witness.requests.clear()

    cosigned = keep(WitnessAnchor(f"{url}/", witness.key), ledger)

    assert 8 == size_of(cosigned)
    assert [b"old 0", b"old 3"] == [body.split(b"\n")[0] for body in witness.requests]


def test_an_empty_ledger_is_witnessed(anchor: WitnessAnchor, witness: Witness) -> None:
    """The root of nothing; and it is cosigned again when asked again."""
    with Ledger("memory:", signer=SIGNER) as empty:
        assert size_of(keep(anchor, empty)) == size_of(keep(anchor, empty)) == 0
        fill(empty, 1)
        assert 1 == size_of(keep(anchor, empty))


def test_another_history_is_refused(
    anchor: WitnessAnchor, ledger: Ledger, url: str, witness: Witness
) -> None:
    """Longer, or of the same size: the witness has seen other entries."""
    keep(anchor, ledger)
    with Ledger("memory:", signer=SIGNER) as other:
        for count in (3, 2):
            fill(other, count)
            with pytest.raises(ProofError, match="has cosigned 3 entries that this checkpoint"):
                keep(WitnessAnchor(url, witness.key), other)


def test_what_it_has_seen_can_be_asked(
    anchor: WitnessAnchor, ledger: Ledger, witness: Witness
) -> None:
    """With any checkpoint that the ledger has signed; it does not move what it has seen."""
    nothing = Checkpoint("acme", 0, EMPTY_ROOT).signed(SIGNER).to_text()
    three = ledger.checkpoint()
    assert 0 == anchor.seen(three).size
    keep(anchor, ledger)

    assert (3, None) == (anchor.seen(nothing).size, anchor.seen(nothing).checkpoint)
    assert NAME in str(anchor.seen(three).checkpoint)
    fill(ledger, 2)
    assert (3, None) == (anchor.seen(ledger.checkpoint()).size, anchor.seen(nothing).checkpoint)
    with Ledger("memory:", signer=SIGNER) as other:
        fill(other, 3)
        assert not anchor.seen(other.checkpoint()).agrees
    assert 3 == witness.seen["acme"][0]


def test_only_signed_checkpoints_are_sent(anchor: WitnessAnchor, witness: Witness) -> None:
    """An unsigned one would be refused anyway."""
    with (
        Ledger("memory:", origin="acme") as unsigned,
        pytest.raises(AnchorError, match="cosigns signed checkpoints only"),
    ):
        keep(anchor, unsigned)

    assert [] == witness.requests


# ---------------------------------------------------------------------------------- its refusals


def test_a_witness_that_does_not_know_the_ledger(ledger: Ledger) -> None:
    """404: its operator has to add it."""
    witness = Witness()
    with serving(witness) as url, pytest.raises(AnchorError, match="does not know the ledger"):
        keep(WitnessAnchor(url, witness.key), ledger)


def test_a_witness_that_knows_another_key(ledger: Ledger) -> None:
    """403: its operator has to change it."""
    witness = Witness(STRANGER.verifier.to_text())
    with serving(witness) as url, pytest.raises(AnchorError, match="or not the key that signed"):
        keep(WitnessAnchor(url, witness.key), ledger)


def cosigned_by_another(text: str) -> Answer:
    """A good answer, of a witness that nobody asked."""
    return 200, REFUSED, Witness().cosignature(text).encode()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((400, REFUSED, b"no"), "answered with the status 400"),
        ((500, REFUSED, b""), "answered with the status 500"),
        ((302, REFUSED, b""), "answered with the status 302"),
        ((308, REFUSED, b""), "answered with the status 308"),
        ((204, REFUSED, b""), "answered with the status 204"),
        ((200, REFUSED, b""), "gave no cosignature of its key"),
        ((200, REFUSED, b"\xff\n"), "gave no cosignature of its key"),
        ((200, REFUSED, b"<html>welcome</html>"), "gave no cosignature of its key"),
        ((200, REFUSED, b"x" * 70_000), "more than 65536 bytes"),
        ((409, SIZE, b"three\n"), "something that is no size"),
        ((409, SIZE, b"-1\n"), "something that is no size"),
        ((409, SIZE, b"\xff"), "something that is no size"),
    ],
)
def test_an_answer_that_is_none(
    anchor: WitnessAnchor, ledger: Ledger, witness: Witness, answer: Answer, said: str
) -> None:
    """One line, and nothing is remembered."""
    witness.scripted.append(answer)

    with pytest.raises(AnchorError, match=said):
        keep(anchor, ledger)
    assert anchor.last("acme") is None


def test_a_cosignature_of_something_else(
    anchor: WitnessAnchor, ledger: Ledger, witness: Witness
) -> None:
    """Of another text, or by another witness; unknown lines beside the right one are dropped."""
    body = read_checkpoint(ledger.checkpoint())[0].to_text()
    for line in (witness.cosignature("acme\n"), Witness().cosignature(body)):
        witness.scripted.append((200, REFUSED, line.encode()))
        with pytest.raises(AnchorError, match="gave no cosignature"):
            keep(anchor, ledger)
    both = Witness(name="w2").cosignature(body) + witness.cosignature(body)
    witness.scripted.append((200, REFUSED, both.encode()))

    _, note = read_checkpoint(keep(anchor, ledger))

    assert note is not None
    assert ["acme", NAME] == [line.name for line in note.signatures]


@pytest.mark.parametrize("answer", [(409, REFUSED, b""), (409, SIZE, b"0\n"), (422, REFUSED, b"")])
def test_a_contradiction_in_every_spelling(
    anchor: WitnessAnchor, ledger: Ledger, witness: Witness, answer: Answer
) -> None:
    """The proof is our own and holds, so what is refused is the history."""
    witness.scripted.append(answer)

    with pytest.raises(ProofError, match="has cosigned 0 entries that this checkpoint"):
        keep(anchor, ledger)


def test_a_witness_that_moves_while_it_is_asked(
    anchor: WitnessAnchor, ledger: Ledger, witness: Witness
) -> None:
    """Once more is enough; a third time is for the caller to decide."""
    witness.scripted += [(409, SIZE, b"1\n"), (409, SIZE, b"2\n")]

    with pytest.raises(AnchorError, match="asked by others at the same time"):
        keep(anchor, ledger)
    assert 2 == len(witness.requests)


# ----------------------------------------------------------------------------------- the network


def test_a_witness_that_is_away(ledger: Ledger, witness: Witness) -> None:
    """Nobody listens there."""
    with socket.socket() as bound:  # and so nobody else comes to
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with pytest.raises(AnchorError, match=f"cannot be reached at http://127.0.0.1:{port}: "):
            keep(WitnessAnchor(f"http://127.0.0.1:{port}", witness.key), ledger)


def test_a_witness_that_is_silent(ledger: Ledger, witness: Witness) -> None:
    """It takes the request and says nothing: the wait has an end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(AnchorError, match="timed out"):
            keep(WitnessAnchor(f"http://127.0.0.1:{port}", witness.key, timeout=0.05), ledger)


def test_a_witness_that_speaks_no_http(ledger: Ledger, witness: Witness) -> None:
    """What is at that port is something else."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(65_536)
            connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(AnchorError, match="speaks no HTTP"):
            keep(WitnessAnchor(f"http://127.0.0.1:{port}", witness.key), ledger)
        thread.join()


def test_a_redirection_is_not_followed(url: str, witness: Witness) -> None:
    """It would come as a GET, without the checkpoint."""
    witness.scripted.append((302, REFUSED, b""))

    assert 302 == post.post(f"{url}/add-checkpoint", b"", 5).status
    assert 1 == len(witness.requests)


# ------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    "url",
    [
        "",
        7,
        "witness.example",
        "ftp://witness.example",
        "file:///etc/passwd",
        "https://",
        "https://user:secret@witness.example",
        "https://witness.example/?a=b",
        "https://witness.example/#a",
        "https://witness.example/a b",
        "https://w\N{LATIN SMALL LETTER I WITH DIAERESIS}tness.example",
        "https://witness.example:99999",
        "https://[::1",
    ],
)
def test_what_is_no_prefix_is_refused(url: str, witness: Witness) -> None:
    """And nothing is sent anywhere."""
    with pytest.raises(InvalidInputError, match="give the witness's prefix"):
        WitnessAnchor(url, witness.key)


@pytest.mark.parametrize(
    "key",
    ["", SIGNER.verifier.to_text(), SIGNER.to_text().reveal(), 7],
    ids=["none", "verifier", "signer", "number"],
)
def test_what_is_no_witness_s_key_is_refused(key: str) -> None:
    """The ledger's own key among them."""
    with pytest.raises(InvalidInputError, match="key"):
        WitnessAnchor("https://witness.example", key)


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), "10", None, True])
def test_what_is_no_timeout_is_refused(timeout: float, witness: Witness) -> None:
    """Seconds above 0."""
    with pytest.raises(InvalidInputError, match="give a number of seconds above 0"):
        WitnessAnchor("https://witness.example", witness.key, timeout=timeout)


# ---------------------------------------------------------------------------------- a whole ledger


def test_a_ledger_that_was_set_back_is_refused_at_the_witness(
    anchor: WitnessAnchor, ledger: Ledger, witness: Witness, url: str
) -> None:
    """Also when nothing on this machine remembers more: the witness does."""
    keep(anchor, ledger)
    again = WitnessAnchor(url, witness.key)
    with (
        Ledger("memory:", signer=SIGNER, anchors=[again]) as other,
        pytest.raises(LedgerCorruptError, match="has 0 entries, and had 3"),
    ):
        other.checkpoint()
