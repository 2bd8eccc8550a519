"""Severities of incidents: every spelling in use is read, one is written, the scale is ordered."""

import pickle

import pytest

from rml.error import InvalidInputError, RmlError
from rml.incident.severity import DEFAULT_PRIORITIES, Priority, Sev, default_priority


@pytest.mark.parametrize("spelling", ["sev1", "SEV1", "SEV-1", "Sev-1", "sev_1", "SEV 1", " sev1 "])
def test_every_spelling_is_read_and_one_is_written(spelling: str) -> None:
    """The documents spell one severity in four ways."""
    assert Sev(spelling) is Sev.SEV1
    assert f"{Sev(spelling)}" == "SEV-1"


@pytest.mark.parametrize(
    "wrong", ["", "SEV-6", "sev10", "SEV--1", "critical", "7", 1, None, "\u017fev-1", "SEV-\u0661"]
)
def test_what_is_not_on_the_scale_is_refused(wrong: object) -> None:
    """Digits and letters of other scripts that look alike are refused as well."""
    with pytest.raises(InvalidInputError, match="is no severity; write one of SEV-0 to SEV-5"):
        Sev(wrong)  # type: ignore[arg-type]


def test_the_refusal_is_a_value_error_and_short() -> None:
    """A caller may catch what any enum raises; a huge value does not fill the message."""
    with pytest.raises(ValueError, match="is no severity") as caught:
        Sev("x" * 10_000)
    assert isinstance(caught.value, RmlError)
    assert len(str(caught.value)) < 130


def test_the_scale_runs_as_its_numbers_do() -> None:
    """The gravest sorts first, as objects and as text."""
    assert sorted(Sev, reverse=True)[::-1] == sorted(map(str, Sev)) == list(Sev)
    assert Sev.SEV0 < Sev.SEV1
    assert min(Sev.SEV3, Sev.SEV1) is Sev.SEV1
    assert [sev.number for sev in Sev] == [0, 1, 2, 3, 4, 5]


def test_at_least_means_as_grave_or_graver() -> None:
    """A name for the comparison that nobody can read the wrong way round."""
    assert Sev.SEV0.is_at_least(Sev.SEV1)
    assert Sev.SEV1.is_at_least(Sev.SEV1)
    assert not Sev.SEV2.is_at_least(Sev.SEV1)


@pytest.mark.parametrize(
    ("sev", "priority"),
    [
        ("SEV-0", "P0"),
        ("SEV-1", "P0"),
        ("SEV-2", "P1"),
        ("SEV-3", "P2"),
        ("SEV-4", "P3"),
        ("SEV-5", "P3"),
    ],
)
def test_default_priorities(sev: str, priority: str) -> None:
    """How bad it is says how fast, until somebody says otherwise."""
    assert default_priority(Sev(sev)) is Priority(priority)


def test_an_own_map_overrides_the_default_one_where_it_speaks() -> None:
    """A small outage with legal exposure is urgent."""
    own = {Sev.SEV3: Priority.P1}
    assert default_priority(Sev.SEV3, own) is Priority.P1
    assert default_priority(Sev.SEV2, own) is DEFAULT_PRIORITIES[Sev.SEV2]


@pytest.mark.parametrize("spelling", ["P1", "p1", "P-1", "p 1"])
def test_priorities_are_read_in_any_spelling(spelling: str) -> None:
    """One is written."""
    assert Priority(spelling) is Priority.P1
    assert str(Priority(spelling)) == "P1"


@pytest.mark.parametrize("wrong", ["P4", "SEV-1", "", 0])
def test_what_is_no_priority_is_refused(wrong: object) -> None:
    """A severity is none: the two scales are two types."""
    with pytest.raises(InvalidInputError, match="is no priority; write one of P0 to P3"):
        Priority(wrong)  # type: ignore[arg-type]


def test_members_survive_pickling() -> None:
    """They travel between processes as themselves."""
    assert pickle.loads(pickle.dumps((Sev.SEV2, Priority.P3))) == (Sev.SEV2, Priority.P3)
