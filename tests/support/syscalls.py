"""What a program asks of the system: recorded, or made to fail, by strace on a forked child."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from children import in_child

STRACE = shutil.which("strace")
needs_strace = pytest.mark.skipif(STRACE is None, reason="strace is not installed")

# What changes a file or a folder, or makes a change durable.
CHANGES = (
    *("openat", "write", "pwrite64", "ftruncate", "fsync", "fdatasync"),
    *("rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat"),
)

_LINE = re.compile(r"(\d+) +(.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_DESCRIPTOR = re.compile(r"\d+<((?:\\x[0-9a-f]{2})*)>")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_NUMBERS = re.compile(r", (\d+)\b")


@attrs.frozen
class Call:
    """One call: which of its name it is, the files it names, what it was given and returned.

    ``number`` counts the calls of one name in the process's first thread; it is 0 in any other.
    """

    name: str
    number: int
    paths: tuple[str, ...]
    data: bytes
    numbers: tuple[int, ...]
    flags: str
    result: int


def under_strace(work: Callable[[], Any], log: Path, *options: str) -> Any:
    """Run a work in a forked child under strace, and return the JSON value that it returned."""

    @contextmanager
    def watching(child: int) -> Iterator[None]:
        assert STRACE is not None
        command = [STRACE, "-o", str(log), *options, "-p", str(child)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            said = strace.stderr.readline()
            if "attached" not in said:
                pytest.skip(f"strace may not watch a process here: {said.strip()}")
            yield
            strace.stderr.read()

    return in_child(work, watching)


def recorded(work: Callable[[], Any], log: Path) -> tuple[Any, list[Call]]:
    """Run a work in a child, and return its value and what it asked of the system."""
    kinds = f"trace={','.join(CHANGES)}"
    value = under_strace(work, log, "-f", "-xx", "-y", "-s", "2000000", "-e", kinds)
    return value, list(_calls(log))


def made_to_fail(work: Callable[[], Any], log: Path, call: Call, error: str) -> Any:
    """Run a work again in a child whose same call fails, once; return the value.

    The call must be one of the first thread's.
    """
    fault = f"inject={call.name}:error={error}:when={call.number}"
    value = under_strace(work, log, "-e", f"trace={call.name}", "-e", fault)
    assert "INJECTED" in log.read_text(), f"{call.name} {call.number} did not come"
    return value


def _calls(log: Path) -> Iterator[Call]:
    """Read a log; of calls that were under way at once, the one that ended first comes first."""
    begun: dict[str, str] = {}
    numbers: dict[str, int] = {}
    first = None
    for line in log.read_text().splitlines():
        found = _LINE.match(line)
        assert found is not None, line
        thread, text = found.groups()
        first = first or thread
        if text.endswith("<unfinished ...>"):
            begun[thread] = text.removesuffix("<unfinished ...>")
            continue
        if text.startswith("<..."):
            text = begun.pop(thread) + text.partition("resumed>")[2]
        parts = _CALL.match(text)
        if parts is None:  # how a thread ended
            continue
        name, arguments, result = parts.groups()
        if thread == first:
            numbers[name] = numbers.get(name, 0) + 1
        yield _call(name, numbers[name] if thread == first else 0, arguments, int(result))


def _call(name: str, number: int, arguments: str, result: int) -> Call:
    strings = [_bytes(text) for text in _STRING.findall(arguments)]
    rest = _STRING.sub('""', arguments)
    descriptor = _DESCRIPTOR.match(arguments)
    given = tuple(int(text) for text in _NUMBERS.findall(rest))
    if descriptor is not None:  # a call on an open file; its only string is data
        path = os.fsdecode(_bytes(descriptor.group(1)))
        return Call(name, number, (path,), b"".join(strings), given, "", result)
    return Call(name, number, tuple(map(os.fsdecode, strings)), b"", given, rest, result)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
