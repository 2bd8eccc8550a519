"""A protected call whose backend ends at one statement after the other, and what holds then."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from counting_gateway import Account
from cutting_proxy import KillingProxy

import rml


def strike_everywhere(
    url: str, folder: Path, proxy: Callable[[], KillingProxy], call: str, *, timeout: float
) -> list[str]:
    """Make calls, each with a key of its own, until the statements to strike run out.

    Args:
        url: the ledger.
        folder: where the provider counts what it did.
        proxy: makes a proxy that loses one backend.
        call: ``"returns"``, ``"raises"`` or ``"async"``.
        timeout: how long a call tries, in seconds.

    Returns:
        How each call ended, by the name of its error, or ``"value"``.
    """
    told: dict[str, str | BaseException] = {}
    account = Account(folder / "account")
    for number in count():
        key = f"pay-{number}"
        with proxy() as between, rml.Ledger(between.url, timeout=timeout) as ledger:
            between.cut_at(number)
            told[key] = _end_of(_charging(ledger, account, call), key)
            if not between.has_killed:
                break
    later = rml.FrozenClock(datetime.now(UTC) + timedelta(hours=1))  # every lease is over
    with rml.Ledger(url, clock=later) as ledger:
        assert () == ledger.verify().problems
        for key, end in told.items():
            _check(ledger, account, key, end, call)
    *struck, _ = told.values()
    return [end if isinstance(end, str) else type(end).__name__ for end in struck]


def _charging(ledger: rml.Ledger, account: Account, call: str) -> Callable[[str], Any]:
    protect = rml.idempotent("payment.charge", key=lambda key: key, world="RML3", ledger=ledger)

    def charge(key: str) -> str:
        account.carry_out(key, rml.current_effect().provider_key, deduplicate=False)
        if call == "raises":
            raise TimeoutError
        return "value"

    async def charge_async(key: str) -> str:
        return charge(key)

    if call != "async":
        return protect(charge)
    protected = protect(charge_async)
    return lambda key: asyncio.run(protected(key))


def _end_of(charge: Callable[[str], Any], key: str) -> str | BaseException:
    try:
        return str(charge(key))
    except (rml.RmlError, TimeoutError) as error:  # what else is raised, no caller can act upon
        return error


def _check(
    ledger: rml.Ledger, account: Account, key: str, end: str | BaseException, call: str
) -> None:
    """At most one effect; what was told is there, and what nobody knows is in doubt."""
    took_place = len(account.effects(key))
    states = [effect.state for effect in ledger.effects() if effect.key == key]
    is_doubtful = key in [effect.key for effect in ledger.in_doubt()]
    again = _end_of(_charging(ledger, account, call), key)
    if states == [rml.EffectState.DONE]:
        assert ("value", 1) == (again, took_place)
    elif is_doubtful:
        assert isinstance(again, rml.InDoubtError)
        assert took_place <= 1
        assert end != "value"
    else:  # no intent is there, so the handler did not run
        assert ([], 0) == (states, took_place)
        assert isinstance(end, rml.RmlError)
    assert len(account.effects(key)) <= 1
