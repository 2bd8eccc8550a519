"""A ledger in a file answers as the one in memory does, in every step of the same schedules."""

from pathlib import Path
from typing import Any

import pytest
from simulator import Ran, simulate, told

import rml

SCHEDULES, SHARES = 60, 2


def recorded(ran: Ran) -> list[dict[str, Any]]:
    """Return what a schedule has recorded, but for what is random on purpose: the salts."""
    entries = []
    for entry in ran.recorded:
        kept = {name: value for name, value in entry.personal.items() if name != "rml.request"}
        entries.append({**entry.header(), **entry.facts, "kept": kept})
    return entries


@pytest.mark.parametrize("share", range(SHARES))
def test_a_file_answers_as_memory_does(share: int, tmp_path: Path, record_property: Any) -> None:
    """The same steps, the same answers to everybody, the same entries; and the file verifies."""
    steps = 0
    for seed in range(share, SCHEDULES, SHARES):
        expected = simulate(seed, keep=True)
        assert expected.broken is None, told(seed)
        place = tmp_path / f"{seed}.db"
        found = simulate(seed, place, keep=True)
        assert expected.trace == found.trace, f"seed {seed}"
        assert recorded(expected) == recorded(found), f"seed {seed}"
        assert found.broken is None
        steps += len(found.trace)
        with rml.Ledger(place) as ledger:
            assert [e.id for e in found.recorded] == [e.id for e in ledger.entries()]
    record_property(
        "tried", f"{SCHEDULES // SHARES} schedules in memory and in a file: {steps} steps"
    )
