"""Whose call a lever stops: by which names, in which form, among how many levers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protected import Charges

import rml
from rml.incident.levers.lever import Lever, Standing, Whose


def pull(ledger: rml.Ledger, operation: str = "payment.charge", **options: Any) -> rml.Lever:
    """Pull a lever, also of an operation that the ledger does not know."""
    return rml.Levers(ledger).pull(operation, by="Ada", reason="because", force=True, **options)


def release(ledger: rml.Ledger, operation: str = "payment.charge", **options: Any) -> Any:
    """Release a lever."""
    return rml.Levers(ledger).release(operation, by="Ada", reason="mended", **options)


@pytest.mark.parametrize("tenant", ["", " ", "\u00a0"], ids=["empty", "space", "no-break"])
def test_a_blank_name_is_nobodys(ledger: rml.Ledger, tenant: str) -> None:
    """Such a call cannot be told from those that the lever is about."""
    pull(ledger, "report.send", tenant="acme")

    with pytest.raises(rml.LeverPulledError):
        rml.guard("report.send").check(tenant=tenant)


@pytest.mark.parametrize(
    ("pulled", "called"), [("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9")]
)
def test_a_name_is_the_same_in_either_form_of_unicode(
    ledger: rml.Ledger, pulled: str, called: str
) -> None:
    """One keyboard composes its accents, another does not."""
    pull(ledger, "report.send", tenant=pulled)

    with pytest.raises(rml.LeverPulledError):
        rml.guard("report.send").check(tenant=called)
    assert release(ledger, "report.send", tenant=called) is not None
    rml.guard("report.send").check(tenant=called)


@pytest.mark.parametrize("scope", [("eu", "acme"), ("acme", "eu", 7)], ids=["two", "three"])
def test_a_tenant_in_a_scope_of_several_is_stopped(ledger: rml.Ledger, scope: Any) -> None:
    """Each part of the scope is a name."""
    charges = Charges("one", "two", scope=lambda: scope)
    charges("pay-1")
    rml.Levers(ledger).pull("payment.charge", tenant="acme", by="Ada", reason="charges twice")

    charges.fail(rml.LeverPulledError, "pay-2")

    release(ledger, tenant="acme")
    pull(ledger, tenant="other")
    assert "two" == charges("pay-2")


@pytest.mark.parametrize("scope", ['["', "[" * 100_000, '["a"', '["a"] or so'])
def test_a_scope_that_only_looks_like_several_is_one(scope: str) -> None:
    """What cannot be read is a name like any other."""
    assert {scope} == Whose.of(scope, {}).tenants


NAMES = st.sampled_from([None, "a", "b", "c\u0301"])
WHOSE = st.sampled_from([None, "", "a", "b", "\u0107", ("a", "b")])


@given(
    st.lists(st.tuples(st.sampled_from(["payment.charge", "*", "other.thing"]), NAMES, NAMES)),
    WHOSE,
    WHOSE,
)
def test_levers_are_found_as_they_are_gone_through(
    targets: list[Any], tenant: Any, region: Any
) -> None:
    """However many there are, the first one that stops a call does."""
    levers = [
        Lever(
            **dict(zip(("operation", "tenant", "region"), target, strict=True)),
            by="Ada",
            reason="because",
            pulled_at=rml.FrozenClock("2026-11-20T19:00:00Z").now(),
            incident=None,
            entry=f"en_{index}",
            index=index,
        )
        for index, target in enumerate(targets)
    ]
    whose = Whose.named([tenant], [region])
    first = next((one for one in levers if one.stops("payment.charge", whose)), None)

    assert first == Standing(levers).stopping("payment.charge", whose)
