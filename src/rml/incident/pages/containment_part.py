"""The part of a page that tells what is stopped: since when, how long quiet, and what broke it."""

from __future__ import annotations

from rml.incident.kinds import CONTAINED
from rml.incident.levers.containment import Containment
from rml.incident.levers.lever import EVERY
from rml.incident.levers.stop import UNNAMED, Stop
from rml.incident.levers.stopped import Stopped
from rml.incident.pages.markup import escaped, moment, pairs, span
from rml.incident.projection import Projection
from rml.ledger.entry import Entry


def containment(case: Projection, found: Containment | None) -> str:
    """Return whether the bleeding has stopped, and what became of each thing that was stopped."""
    if found is None or not (found.stopped or found.operations):
        return ""
    pulled = {entry.facts.get("pulled", entry.id): entry for entry in case.of(CONTAINED)}
    body = "".join(_row(one, pulled.get(one.stop.by)) for one in found.stopped)
    head = "<tr><th>stopped</th><th>since</th><th></th><th></th></tr>"
    table = (
        f'<table class="stopped"><thead>{head}</thead><tbody>{body}</tbody></table>' if body else ""
    )
    named = (("not stopped", found.uncovered), ("in flight", found.in_flight))
    rows = [(name, ", ".join(ids)) for name, ids in (*named, ("in doubt", found.in_doubt)) if ids]
    return f"<p>{escaped(found)}</p>{table}{pairs(rows, 'open')}"


def _row(one: Stopped, by: Entry | None) -> str:
    return (
        f"<tr><th>{_what(one.stop)}{_who(by)}</th><td>{_when(one)}</td><td>{_quiet(one)}</td>"
        f"<td>{_verdict(one)}</td></tr>"
    )


def _what(stop: Stop) -> str:
    operation, tenant, region = stop.target
    names = {EVERY: "every operation", UNNAMED: "what it is about"}
    only = [f"tenant {tenant}"] if tenant is not None else []
    only += [f"region {region}"] if region is not None else []
    limits = f"<small>only {escaped(', '.join(only))}</small>" if only else ""
    return f"<b>{escaped(names.get(operation, operation))}</b>{limits}"


def _who(by: Entry | None) -> str:
    if by is None:
        return ""
    return f"<small>{escaped(by.facts['lever'])} by {escaped(by.actor)}</small>"


def _when(one: Stopped) -> str:
    since = moment(one.stop.at)
    return since if one.until is None else f"{since}<small>until {moment(one.until)}</small>"


def _quiet(one: Stopped) -> str:
    """Return for how long nothing began: up to now, or up to when it was let go on."""
    if one.quiet_since is None:
        return "not quiet: something was in flight"
    since = f"<small>since {moment(one.quiet_since)}</small>"
    return f"quiet for {span(one.quiet)}{since if one.quiet_since != one.stop.at else ''}"


def _verdict(one: Stopped) -> str:
    badge = "proven" if one.proven else "not proven"
    broken = "".join(f"<code>{escaped(each)}</code>" for each in one.broken_by)
    by = f"<small>broken by {broken}</small>" if broken else ""
    return f'<span class="badge {badge.partition(" ")[0]}">{badge}</span>{by}'
