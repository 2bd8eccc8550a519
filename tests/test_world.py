"""World, action and severity: spellings, order, legal pairs."""

import itertools

import pytest

from rml.world import (
    DEFAULT_ACTION,
    LEGAL_ACTIONS,
    Action,
    Severity,
    World,
    check_pair,
    legal,
    widest,
)


@pytest.mark.parametrize("spelling", ["RML3", "RML-3", "rml3", "rml-3"])
def test_a_world_is_read_in_every_usual_spelling(spelling: str) -> None:
    """Prose writes a hyphen and data does not."""
    assert World(spelling) is World.RML3


@pytest.mark.parametrize("spelling", ["RML4", "RML", "", "RML--3", 3, None, object(), "RML٣"])
def test_an_unknown_world_lists_the_legal_ones(spelling: object) -> None:
    """The error names the way out."""
    with pytest.raises(ValueError, match="use RML1, RML2, RML3"):
        World(spelling)  # type: ignore[arg-type]


def test_a_world_is_written_unhyphenated() -> None:
    """What is written is what is stored."""
    assert str(World("RML-2")) == f"{World.RML2}" == "RML2"


@pytest.mark.parametrize("spelling", ["retry-with-backoff", "RETRY_WITH_BACKOFF"])
def test_an_action_is_read_by_value_and_by_name(spelling: str) -> None:
    """The name in code and the value in data mean the same."""
    assert Action(spelling) is Action.RETRY_WITH_BACKOFF


def test_an_unknown_action_lists_the_legal_ones() -> None:
    """The error names the way out."""
    with pytest.raises(ValueError, match="'try-again' is not one of the Action spellings; use"):
        Action("try-again")


def test_severities_are_ordered_by_weight_not_alphabet() -> None:
    """`critical` comes first in the alphabet and last here."""
    assert max(Severity) is Severity.CRITICAL
    assert Severity.INFO < Severity.WARNING <= Severity.ERROR < "critical"


def test_worlds_compare_with_any_spelling() -> None:
    """As plain text, 'RML-3' would come before 'RML1'."""
    assert World.RML1 < "RML-3"
    assert "RML-3" >= World.RML2
    assert World.RML2 <= World.RML2
    assert not World.RML2 > World.RML2


def test_a_world_has_no_order_with_something_else() -> None:
    """A wrong comparison is an error, not an answer."""
    with pytest.raises(TypeError, match="World and Severity have no common order"):
        assert World.RML1 < Severity.ERROR


def test_the_widest_world_wins() -> None:
    """Whatever the order, and nothing widens nothing."""
    assert widest(World.RML1, World.RML3, World.RML2) is World.RML3
    assert widest() is World.RML1


def test_every_world_allows_its_default_action() -> None:
    """The defaults are legal."""
    assert all(legal(world, DEFAULT_ACTION[world]) for world in World)


def test_history_is_neither_retried_nor_compensated() -> None:
    """RML3 escalates, and only RML3 does."""
    escalating = {world for world in World if legal(world, Action.ESCALATE_HISTORY)}
    assert (LEGAL_ACTIONS[World.RML3], escalating) == ({Action.ESCALATE_HISTORY}, {World.RML3})


@pytest.mark.parametrize(("world", "action"), list(itertools.product(World, Action)))
def test_check_pair_refuses_exactly_the_illegal_pairs(world: World, action: Action) -> None:
    """`check_pair` and `legal` agree."""
    if legal(world, action):
        check_pair(world, action)
        assert action in LEGAL_ACTIONS[world]
    else:
        with pytest.raises(ValueError, match=f"{world} cannot carry '{action}'"):
            check_pair(world, action)


def test_an_illegal_pair_names_both_ways_out() -> None:
    """Either the action changes or the world does."""
    with pytest.raises(ValueError, match="give it 'escalate-history', or raise it in RML1 or RML2"):
        check_pair(World.RML3, Action.RETRY_WITH_BACKOFF)
