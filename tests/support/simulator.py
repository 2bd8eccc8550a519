"""A seeded simulation of workers, reconcilers and people around one ledger; time is virtual.

Every schedule runs the library's own code in a simulated world. A failing schedule is found again
by its seed, and is made shorter before it is shown::

    python tests/support/simulator.py --seed 17
"""

import argparse
import logging
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

import attrs
from scheduler import Choices
from simulated import BrokenPromiseError, World, handling_in

import rml

VERIFIED_ONE_IN: Final = 16


@attrs.frozen
class Ran:
    """One schedule that was run: what it decided, what happened, and what did not hold."""

    choices: list[int]
    trace: list[str]
    broken: BrokenPromiseError | None
    recorded: list[rml.Entry]

    def tells(self, what: str) -> int:
        """Return in how many steps something is told."""
        return sum(what in step for step in self.trace)


def simulate(
    source: Any, place: object = "memory:", *, verify: bool = True, keep: bool = False
) -> Ran:
    """Run the schedule of a seed, or of a list of choices."""
    choices = Choices(source)
    world = World(choices, place)
    broken = None
    log = logging.getLogger("rml")
    log.disabled, was = True, log.disabled
    handling_in(world)
    try:
        world.run()
        if verify:
            world.verify()
    except BrokenPromiseError as error:
        broken = error
    finally:
        log.disabled = was
    recorded = list(world.ledger.entries()) if keep else []
    world.ledger.close()
    return Ran(choices.made, world.scheduler.trace, broken, recorded)


def shrunk(ran: Ran, tries: int = 2_000) -> Ran:
    """Return a schedule that breaks a promise, too, and is shorter and calmer."""
    best = ran
    size = max(len(best.choices) // 2, 1)
    while size and tries > 0:
        start = 0
        while start < len(best.choices) and tries > 0:
            tries -= 1
            some = best.choices[start : start + size]
            calmer = [*best.choices[:start], *(0 for _ in some), *best.choices[start + size :]]
            shorter = best.choices[:start] + best.choices[start + size :]
            for candidate in (shorter, calmer if any(some) else shorter):
                found = simulate(candidate)
                if found.broken and _simplicity(found) < _simplicity(best):
                    best = found
                    break
            else:
                start += size
        size //= 2
    return best


def _simplicity(ran: Ran) -> tuple[int, int]:
    return len(ran.trace), sum(map(bool, ran.choices))


def ran_from(seeds: Iterable[int]) -> Iterator[tuple[int, Ran]]:
    """Yield the schedules of some seeds; one in a few is verified as well."""
    for seed in seeds:
        yield seed, simulate(seed, verify=seed % VERIFIED_ONE_IN == 0)


def first_broken(seeds: Iterable[int]) -> int | None:
    """Return the first seed whose schedule breaks a promise."""
    return next((seed for seed, ran in ran_from(seeds) if ran.broken), None)


def told(seed: int) -> str:
    """Return what went wrong in the schedule of a seed, as short as it can be told."""
    ran = simulate(seed)
    if ran.broken is None:
        return f"seed {seed}: every promise was kept"
    short = shrunk(ran)
    return "\n".join([f"seed {seed}: {ran.broken}", *short.trace, f"in the end: {short.broken}"])


def main() -> int:
    """Run one schedule, or many."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the schedule to run, or the first")
    parser.add_argument("--count", type=int, default=1, help="how many schedules to run from there")
    options = parser.parse_args()
    seed = first_broken(range(options.seed, options.seed + options.count))
    sys.stdout.write(told(options.seed if seed is None else seed) + "\n")
    return 0 if seed is None else 1


if __name__ == "__main__":
    sys.exit(main())
