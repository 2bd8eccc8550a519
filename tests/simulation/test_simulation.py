"""Ten thousand simulated schedules keep every promise; and the simulation finds broken ones.

What is simulated and checked is told in `simulated.py`. A red run names its seed.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import simulator
from simulator import first_broken, ran_from, shrunk, simulate, told

from rml.effect import call, operation, resolution
from rml.effect.decide import IN_DOUBT, Doubt, Ending, Run, decide, ending_of
from rml.effect.operation import Attempt
from rml.ledger.draft import Draft

SCHEDULES, SHARES = 10_000, 8
RARE = {
    "deaths": "is killed",
    "failed calls of the store": "the store fails",
    "steps of the clock": "the clock is stepped",
    "decisions": "decides",
    "answers to reconcilers": "heard",
    "effects": "took effect",
}


@pytest.mark.parametrize("share", range(SHARES))
def test_every_schedule_keeps_every_promise(share: int, record_property: Any) -> None:
    """At most one effect without a wrong decision, nothing unknown unlisted, and so on."""
    met: Counter[str] = Counter()
    for seed, ran in ran_from(range(share, SCHEDULES, SHARES)):
        assert ran.broken is None, told(seed)
        met["steps"] += len(ran.trace)
        met.update({name: ran.tells(said) for name, said in RARE.items()})

    assert set(met) == {name for name, count in met.items() if count}
    tried = ", ".join(f"{count} {name}" for name, count in met.items())
    record_property("tried", f"{SCHEDULES // SHARES} schedules: {tried}")


def test_a_schedule_is_its_seed_and_its_choices() -> None:
    """The same seed runs the same schedule, and so does the list of what it decided."""
    for seed in range(20):
        ran = simulate(seed, keep=True)
        assert ran.trace == simulate(seed).trace
        again = simulate(ran.choices, keep=True)
        assert ran.trace == again.trace
        assert [e.id for e in ran.recorded] == [e.id for e in again.recorded]


# What must be found ------------------------------------------------------------------------------


def run_again(effect: Any, *others: Any) -> Any:
    """Run an attempt again whose lease has run out, as if its worker were dead."""
    decision = decide(effect, *others)
    if isinstance(decision, Doubt):
        return Run(effect.attempt + 1, effect.generation)
    return decision


def run_anyway(effect: Any, *_: Any) -> Run:
    """Begin without deciding once more inside the commit."""
    return Run(1, 1) if effect is None else Run(effect.attempt + 1, effect.generation)


def whoever_ends(self: Draft, effect: str, owner: str | None = None) -> bool:
    """Let an attempt end whose lease is another's, or nobody's."""
    self._transaction.drop_lease(effect)
    return True


def hopefully(error: BaseException, **options: Any) -> Ending:
    """Take what nobody knows for what did not happen."""
    ending = ending_of(error, **options)
    return Ending("effect.not_done") if ending == IN_DOUBT else ending


def only_to_workers(self: Draft, effect: str, attempt: int, owner: str, seconds: float) -> None:
    """Leave the lease of an attempt in doubt with its worker."""
    if owner:
        grant(self, effect, attempt, owner, seconds)


def without_doubt(**fields: Any) -> Attempt:
    """Forget that an attempt before may have taken effect."""
    return Attempt(**{**fields, "uncertain": False})


grant = Draft.grant
MISTAKES: dict[str, list[tuple[Any, str, Callable[..., Any]]]] = {
    "a lost worker is taken for dead": [
        (call, "decide", run_again),
        (operation, "decide", run_again),
    ],
    "the look before the commit is believed": [(operation, "decide", run_anyway)],
    "the owner of a lease is not checked": [(Draft, "release", whoever_ends)],
    "a doubt does not fence its worker": [(Draft, "grant", only_to_workers)],
    "the unknown is taken for not done": [(call, "ending_of", hopefully)],
    "a refusal is believed of the attempt before": [(operation, "Attempt", without_doubt)],
    "the provider is sent one key for ever": [
        (operation, "provider_key", lambda effect, _: effect),
    ],
    "a decision about one attempt ends another": [
        (resolution, "_check_version", lambda *_: None),
    ],
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line of the library wrong, and a schedule shows it, told in fewer steps than it took."""
    for where, name, instead in MISTAKES[mistake]:
        monkeypatch.setattr(where, name, instead)

    seed = first_broken(range(SCHEDULES))
    assert seed is not None
    ran = simulate(seed)
    short = shrunk(ran, tries=60)
    assert short.broken is not None
    assert len(short.trace) <= len(ran.trace)
    assert simulate(short.choices).trace == short.trace


def test_what_is_told_of_a_seed(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The command runs one schedule or many, and tells the first broken one step by step."""
    monkeypatch.setattr("sys.argv", ["simulator.py", "--seed", "3"])
    assert 0 == simulator.main()
    assert "seed 3: every promise was kept\n" == capsys.readouterr().out

    monkeypatch.setattr(operation, "decide", run_anyway)
    monkeypatch.setattr("sys.argv", ["simulator.py", "--seed", "0", "--count", "50"])
    assert 1 == simulator.main()
    first, *steps, last = capsys.readouterr().out.splitlines()
    assert first.startswith("seed ")
    assert last.startswith("in the end: ")
    assert any(step.startswith("worker 1: attempt ") for step in steps)
