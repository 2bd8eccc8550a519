"""A worker killed with signal 9 at every line that a protected call runs: at most one effect.

The lines are recorded when the test runs, from the opening of the ledger's file to its closing, so
that none is left out when the code changes. Each death is one process of its own; a gateway in
another process counts what took effect. What is left must be in doubt exactly when nobody can know,
verify, and end with exactly one effect: by a reconciler, by the provider's own memory of the key,
or by a person.

Every line is one death; `RML_EVERY_LINE=all` dies each time that a line is run, in both faces,
under every protection.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import counting_gateway
import killed_at
import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

EVERYTHING = os.environ.get("RML_EVERY_LINE") == "all"
SHARES = 255 if EVERYTHING else 5  # of the deaths: none takes long, each has every protection
FACES = ("def", "async def")
PROTECTIONS = ("none", "reconciler", "provider", "unknowing")
LAST_TIMES_ONE_IN = 8
TOGETHER = 32  # deaths whose restarts share a process

Line = tuple[str, int]
Death = tuple[str, Line, int, str]  # the face, the line, its which time, the protection


@contextmanager
def script(module: Any, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    """Run a script of the suite until the block ends."""
    command = [sys.executable, module.__file__, *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.communicate(timeout=60)
        assert 0 == process.returncode


@pytest.fixture
def case_of(tmp_path: Path) -> Iterator[Callable[[str, str], dict[str, Any]]]:
    """Return what makes a new case of a face and a protection."""
    made: list[str] = []
    with script(counting_gateway, tmp_path / "account") as gateway:
        assert gateway.stdout is not None
        port = int(gateway.stdout.readline())

        def case(face: str, protection: str) -> dict[str, Any]:
            made.append(face)
            return {
                "path": str(tmp_path / f"{len(made)}.db"),
                "port": port,
                "payment": f"pay-{len(made)}",
                "face": face,
                "protection": protection,
            }

        yield case


@pytest.fixture
def ask() -> Iterator[Callable[[Any], Any]]:
    """Return what asks the fork server."""
    with script(killed_at) as server:
        assert server.stdin is not None
        assert server.stdout is not None

        def answered(request: Any) -> Any:
            server.stdin.write(json.dumps(request) + "\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        yield answered


def times(lines: list[Line]) -> dict[tuple[Line, int], None]:
    """Return the times at which to die: each line's first, and one in a few lines' last as well."""
    runs = Counter(lines)
    if EVERYTHING:
        return {(line, nth): None for line in runs for nth in range(1, runs[line] + 1)}
    repeated = [line for line in runs if runs[line] > 1]
    last = {(line, runs[line]): None for line in repeated[::LAST_TIMES_ONE_IN]}
    return {(line, 1): None for line in runs} | last


def deaths(recorded: dict[str, list[Line]]) -> list[Death]:
    """Return every death to try; what both faces do alike is tried in one, unless all is."""
    asynchronous = times(recorded["async def"])
    synchronous = times(recorded["def"])
    if EVERYTHING:
        return [
            (face, line, nth, protection)
            for face, found in zip(FACES, (synchronous, asynchronous), strict=True)
            for line, nth in found
            for protection in PROTECTIONS
        ]
    alike = set(recorded["def"])
    only = [place for place in asynchronous if place[0] not in alike]
    places = [*(("def", *place) for place in synchronous), *(("async def", *p) for p in only)]
    return [
        (*place, protection) for place, protection in zip(places, cycle(PROTECTIONS), strict=False)
    ]


@pytest.mark.parametrize("share", range(SHARES))
def test_a_call_killed_at_any_line_takes_effect_once(
    share: int, case_of: Any, ask: Any, record_property: Any
) -> None:
    """Whatever it was doing: what is unknown is listed, what is settled is right, all verifies."""
    answers = ask({"record": [case_of(face, "reconciler") for face in FACES]})
    assert [None] * len(FACES) == [trouble for _, trouble in answers]
    recorded = {
        face: [(name, number) for name, number in lines]
        for face, (lines, _) in zip(FACES, answers, strict=True)
    }
    mine = deaths(recorded)[share::SHARES]
    left: Counter[tuple[tuple[str, ...], int]] = Counter()
    missed = 0
    for start in range(0, len(mine), TOGETHER):
        some = mine[start : start + TOGETHER]
        wanted = [[case_of(face, kind), line, nth] for face, line, nth, kind in some]
        for death, found in zip(some, ask({"kill": wanted}), strict=True):
            assert found["trouble"] is None, (death, found["trouble"])
            missed += not found["reached"]
            left[tuple(found["left"]["recorded"]), found["left"]["effects"]] += 1

    assert missed * 50 <= len(mine)  # a line may be one that only a slow machine runs
    promised, done = ("effect.intent",), ("effect.intent", "effect.done")
    assert EVERYTHING or {((), 0), (promised, 0), (promised, 1), (done, 1)} == set(left)
    lines = len({(line, face) for face, line, *_ in mine})
    record_property(
        "tried",
        f"{len(mine) - missed} kills at {lines} lines under {len({d[3] for d in mine})} "
        f"protections; {left[(), 0]} left nothing, {left[promised, 0]} a promise, "
        f"{left[promised, 1]} an effect in doubt, {left[done, 1]} a recorded effect",
    )
