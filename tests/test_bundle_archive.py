"""A bundle that somebody made to do harm, or that was damaged, is refused in one clear line."""

import io
import json
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rml
from rml.clock import SeededIds
from rml.export import archive

ORIGIN = "shop.example/payments"


def made() -> tuple[bytes, str]:
    """A bundle's file, and the key that it is checked with."""
    signer = rml.SignerKey.generate(ORIGIN)
    clock = rml.FrozenClock("2026-11-20T19:00:00Z")
    with rml.Ledger("memory:", signer=signer, clock=clock, ids=SeededIds(1)) as ledger:
        notes = [
            ledger.append("shop.note", world="RML3", facts={"n": n}, personal={"who": "Ada"})
            for n in range(3)
        ]
        bundle = rml.Bundle.of(ledger, *(note.id for note in notes[:2]), disclose=["who"])
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name, data in rml.export.bundle._files_of(bundle).items():
            packed.writestr(name, data, zipfile.ZIP_DEFLATED)
    return file.getvalue(), signer.verifier.to_text()


GOOD, KEY = made()


def members(data: bytes = GOOD) -> dict[str, bytes]:
    """The files of an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of these files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive_file:
        for name, data in files.items():
            archive_file.writestr(name, data)
    return file.getvalue()


def refused(folder: Path, data: bytes) -> str:
    """Why a file is not read as a bundle."""
    path = folder / "case.zip"
    path.write_bytes(data)
    with pytest.raises(rml.InvalidInputError) as caught:
        rml.Bundle.read(path)
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value.message


def test_the_good_one_is_good(tmp_path: Path) -> None:
    """Else the others would be refused for another reason; other tools may pack it anew."""
    for data in (GOOD, packed(members(), zipfile.ZIP_STORED)):
        (tmp_path / "case.zip").write_bytes(data)
        assert 3 == rml.Bundle.read(tmp_path / "case.zip").verify(KEY).size


# Damage -----------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(place=st.integers(0, len(GOOD) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int) -> None:
    """It is refused, or it touched nothing that counts: dates, attributes, unused bits."""
    data = bytearray(GOOD)
    data[place] ^= 1 << bit
    path = tmp_path_factory.mktemp("flipped") / "case.zip"
    path.write_bytes(data)
    try:
        bundle = rml.Bundle.read(path)
        bundle.verify(KEY)
    except (rml.InvalidInputError, rml.ProofError, rml.SignatureError):
        return
    assert members() == rml.export.bundle._files_of(bundle)


@settings(max_examples=60)
@given(end=st.integers(0, len(GOOD) - 1))
def test_a_file_that_was_cut_off(tmp_path_factory: pytest.TempPathFactory, end: int) -> None:
    """At any place."""
    message = refused(tmp_path_factory.mktemp("cut"), GOOD[:end])

    assert "cut off" in message or "before or after" in message


@settings(max_examples=60)
@given(data=st.binary(max_size=200))
def test_a_file_that_is_something_else(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """Any bytes."""
    assert "cannot be read" in refused(tmp_path_factory.mktemp("else"), data)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="a device of POSIX")
def test_a_file_without_an_end() -> None:
    """It is not even opened."""
    with pytest.raises(rml.InvalidInputError, match="it is no file, or larger than"):
        rml.Bundle.read("/dev/zero")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    """A bare name would not say what is wrong with it."""
    for name in ("checkpoint", "manifest.json", "proofs/0.tlog-proof"):
        files = members()
        del files[name]

        assert f"'{name}' is missing" in refused(tmp_path, packed(files))


def test_no_file(tmp_path: Path) -> None:
    """The system's own words say why."""
    with pytest.raises(rml.InvalidInputError, match="No such file"):
        rml.Bundle.read(tmp_path / "case.zip")
    with pytest.raises(rml.InvalidInputError, match="it is no file"):
        rml.Bundle.read(tmp_path)
    with pytest.raises(rml.InvalidInputError, match="path must be"):
        rml.Bundle.read("")


# Harm -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json",
        "entries/../../evil.json",
        "/etc/passwd",
        "entries/0.json/",
        "entries/",
        "entries/00.json",
        "entries/-1.json",
        "entries/\u0661.json",
        "entries/99999999999999999999.json",
        "proofs/0.json",
        "C:\\evil.json",
        "contract.pdf",
        "manifest.json\0.txt",
    ],
)
def test_a_name_that_no_bundle_has(tmp_path: Path, name: str) -> None:
    """Nothing is ever unpacked, and nobody else is led to unpack it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive_file:
        for known, data in members().items():
            archive_file.writestr(known, data)
        member = zipfile.ZipInfo("placeholder")
        member.filename = name
        archive_file.writestr(member, b"")

    message = refused(tmp_path, file.getvalue())

    assert "does not belong in a bundle" in message or "damaged" in message


def test_a_name_twice(tmp_path: Path) -> None:
    """Two tools would read two different files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive_file:
        for name, data in members().items():
            archive_file.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive_file.writestr("entries/0.json", b"[]")

    assert "two files of one name" in refused(tmp_path, file.getvalue())


def lying(data: bytes, name: str, size: int) -> bytes:
    """The archive, in which a member's size is told wrongly wherever it is told."""
    made, encoded = bytearray(data), name.encode()
    local = data.index(encoded) - 30
    central = data.rindex(encoded) - 46
    made[local + 22 : local + 26] = made[central + 24 : central + 28] = struct.pack("<L", size)
    return bytes(made)


@pytest.mark.parametrize("honest", [True, False], ids=["honest", "lying"])
def test_a_bomb(tmp_path: Path, honest: bool) -> None:
    """A member that unpacks to far more than it may is refused before it is in memory."""
    files = members() | {"manifest.json": b"\0" * (48 << 20)}
    data = packed(files) if honest else lying(packed(files), "manifest.json", 1_000)

    tracemalloc.start()
    message = refused(tmp_path, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert "would have 50331648 bytes, the limit is" in message or "damaged" in message
    assert 8 << 20 > peak


def test_many_large_members(tmp_path: Path) -> None:
    """Each may be as large as it is, and all together may not."""
    entry = b"\0" * 65_535
    files = members() | {f"entries/{n}.json": entry for n in range(2, 1_100)}

    assert "bytes in all" in refused(tmp_path, packed(files))


@pytest.mark.parametrize(
    ("limit", "value", "why"),
    [("ARCHIVE_BYTES_MAX", 1_000, "larger than 1000 bytes"), ("MEMBERS_MAX", 3, "the limit is 3")],
)
def test_limits_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, why: str
) -> None:
    """They are judged before anything is read."""
    monkeypatch.setattr(archive, limit, value)

    assert why in refused(tmp_path, GOOD)


def test_a_directory_that_is_larger_than_it_says(tmp_path: Path) -> None:
    """The end's own words are held against the file's size."""
    assert "before or after" in refused(tmp_path, b"MZ" + GOOD)
    assert "cut off" in refused(tmp_path, GOOD + b"\0")


def test_a_second_directory_of_any_size(tmp_path: Path) -> None:
    """The library would read that one, and the limits were held against the other."""
    end = GOOD.rindex(b"PK\5\6")
    count, _, offset = struct.unpack_from("<HLL", GOOD, end + 10)
    large = GOOD[offset:end] * 100
    second = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(large), 0)
    hidden = second + struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)
    last = GOOD.rindex(b"PK\1\2", 0, end)
    small = bytearray(GOOD[last:end])
    struct.pack_into("<H", small, 32, len(hidden))  # it passes for the last member's comment
    directory = bytes(small) + hidden
    ending = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(directory), len(large), 0)

    assert "a second directory" in refused(tmp_path, large + directory + ending)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods(tmp_path: Path, method: int) -> None:
    """Only what every tool unpacks."""
    assert "not packed as rml packs it" in refused(tmp_path, packed(members(), method))


def test_an_encrypted_member(tmp_path: Path) -> None:
    """There is no password to ask for."""
    data = bytearray(GOOD)
    name = data.rindex(b"README.txt")
    data[name - 46 + 8] |= 1

    assert "not packed as rml packs it" in refused(tmp_path, bytes(data))


# Contents ---------------------------------------------------------------------------------------


def manifest(change: Callable[[dict[str, object]], object]) -> dict[str, bytes]:
    """A change of the manifest."""
    document = json.loads(members()["manifest.json"])
    change(document)
    return {"manifest.json": json.dumps(document).encode()}


CONTENTS: dict[str, tuple[dict[str, bytes | None], str]] = {
    "no manifest": ({"manifest.json": None}, "'manifest.json'"),
    "no checkpoint": ({"checkpoint": None}, "'checkpoint'"),
    "no proof": ({"proofs/0.tlog-proof": None}, "proofs/0.tlog-proof"),
    "a proof alone": ({"entries/0.json": None}, "without its entry"),
    "another's proof": ({"proofs/0.tlog-proof": members()["proofs/1.tlog-proof"]}, "is about 1"),
    "no tlog-proof": ({"proofs/0.tlog-proof": b"\xff"}, "no UTF-8"),
    "no json": ({"manifest.json": b"{"}, "strict JSON"),
    "deep json": ({"disclosed/0.json": b"[" * 100_000}, "strict JSON"),
    "no object": ({"manifest.json": b"[]"}, "cannot be read"),
    "disclosed as a list": ({"disclosed/0.json": b"[1]"}, "cannot be read"),
    "disclosed without salt": ({"disclosed/0.json": b'{"who": "Ada"}'}, "cannot be read"),
    "no text": ({"checkpoint": b"\xff\xff"}, "cannot be read"),
    "a newer format": (
        manifest(lambda m: m.update(format="rml/bundle/2")),
        "it has the format 'rml/bundle/2', and this rml reads 'rml/bundle/1'; upgrade rml",
    ),
    "about no list": (manifest(lambda m: m.update(about="INC-1")), "does not say what"),
    "about numbers": (manifest(lambda m: m.update(about=[1])), "does not say what"),
    "made by nobody": (manifest(lambda m: m.pop("made_by")), "'made_by'"),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_contents_that_are_not_a_bundles(tmp_path: Path, case: str) -> None:
    """A sound archive of other things."""
    changes, why = CONTENTS[case]
    files = {name: data for name, data in (members() | changes).items() if data is not None}

    assert why in refused(tmp_path, packed(files))


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("disclosed/0.json", b'{"who": ["AAAAAAAAAAAAAAAAAAAAAA", "Eve"]}', "'who' is not what"),
        ("disclosed/0.json", b'{"who": [1, "Eve"]}', "'who' is not what"),
        ("entries/0.json", b'["rml/1",{},{},{}]', "do not give the root"),
        ("README.txt", b"Send the money to us.", "README.txt is not what the entries say"),
    ],
)
def test_contents_that_are_not_true(tmp_path: Path, name: str, data: bytes, why: str) -> None:
    """They are read, and not believed."""
    (tmp_path / "case.zip").write_bytes(packed(members() | {name: data}))

    with pytest.raises(rml.ProofError) as caught:
        rml.Bundle.read(tmp_path / "case.zip").verify(KEY)

    assert why in caught.value.message


def test_a_crc_that_is_right_for_wrong_bytes(tmp_path: Path) -> None:
    """Whoever changes a file changes its checksum, too; the proof does not follow."""
    entry = members()["entries/0.json"].replace(b'"n":0', b'"n":9')
    assert zlib.crc32(entry) != zlib.crc32(members()["entries/0.json"])
    (tmp_path / "case.zip").write_bytes(packed(members() | {"entries/0.json": entry}))

    with pytest.raises(rml.ProofError, match="entry 0 of the bundle: the entry and the proof"):
        rml.Bundle.read(tmp_path / "case.zip").verify(KEY)
