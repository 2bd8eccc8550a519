"""The parts of a page that tell what it did to the world, who decided, and what was done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rml.incident.closing import TRIANGLE
from rml.incident.cost import totals
from rml.incident.kinds import ACTED, COUNTED
from rml.incident.pages.casefile import CaseFile, DecidedBy
from rml.incident.pages.markup import bullets, escaped, lateness, moment, words, world_badge
from rml.incident.projection import Projection
from rml.ledger.entry import Entry


def impact(case: Projection) -> str:
    """Return what was estimated beside what was counted."""
    file = case.file
    scope = file.classification.scope
    rows = [
        ("users", scope.affected_users_estimate, scope.affected_users_counted),
        ("transactions", scope.affected_transactions_estimate, scope.affected_transactions_counted),
    ]
    cells = "".join(
        f"<tr><th>{name}</th><td>{_count(guess)}</td><td>{_count(count)}</td></tr>"
        for name, guess, count in rows
    )
    cells += "".join(
        f"<tr><th>{escaped(currency)}</th><td></td><td>{escaped(amount)}</td></tr>"
        for currency, amount in _amounts(case.entries).items()
    )
    assets = ", ".join(file.classification.asset)
    touched = f"<p>Touched: {escaped(assets)}</p>" if assets else ""
    return (
        '<table class="impact"><thead><tr><th></th><th>estimated</th><th>counted</th></tr></thead>'
        f"<tbody>{cells}</tbody></table>{touched}{bullets(map(str, case.narrowings))}"
    )


def costs(file: CaseFile) -> str:
    """Return what it has cost, and the sum of what is known by currency."""
    rows = [
        (words(cost.type), "unknown" if cost.amount is None else cost.amount, cost.currency or "")
        for cost in file.costs
    ]
    known = "known in all" if any(cost.amount is None for cost in file.costs) else "in all"
    rows += [(known, amount, currency) for currency, amount in totals(file.costs).items()]
    body = "".join(
        f"<tr><th>{escaped(name)}</th><td>{escaped(amount)}</td><td>{escaped(currency)}</td></tr>"
        for name, amount, currency in rows
    )
    return f'<table class="cost"><tbody>{body}</tbody></table>' if body else ""


def _amounts(entries: Iterable[Entry]) -> dict[str, str]:
    """Return the amounts of the latest count, by currency."""
    counts = [e.facts["amounts"] for e in entries if e.kind == COUNTED and "amounts" in e.facts]
    return dict(counts[-1]) if counts else {}


def _count(count: int | None) -> str:
    return "unknown" if count is None else f"{count:,}"


def decisions(file: CaseFile) -> str:
    """Return every decision with the triangle of those who took it; amended ones are struck out."""
    amended = {decision.amends for decision in file.decisions.entries}
    return "".join(
        f'<article class="{"amended" if decision.entry in amended else "stands"}">'
        f"{_triangle(decision.decided_by)}<div><p>{escaped(decision.summary)}</p>"
        f"<p>{_names(decision.decided_by)}</p><small>{moment(decision.at)}"
        f"{lateness(decision.at, decision.recorded_at)}"
        f"{' amended later' if decision.entry in amended else ''}</small></div></article>"
        for decision in file.decisions.entries
    )


def _names(deciders: Sequence[DecidedBy]) -> str:
    return ", ".join(f"<b>{escaped(who.role)}</b> {escaped(who.name)}" for who in deciders)


def _triangle(deciders: Sequence[DecidedBy]) -> str:
    """Draw the triangle of those who decide about history; a corner is filled if one spoke."""
    here = {who.role.strip().lower() for who in deciders if not who.name.startswith("absent - ")}
    corners = zip(TRIANGLE, ((30, 8), (8, 46), (52, 46)), strict=True)
    dots = "".join(
        f'<circle cx="{x}" cy="{y}" r="6" class="{"spoke" if role in here else "silent"}">'
        f"<title>{role}</title></circle>"
        for role, (x, y) in corners
    )
    said = ", ".join(role for role in TRIANGLE if role in here) or "nobody"
    return (
        f'<svg viewBox="0 0 60 54" role="img" aria-label="decided by {said} of the triangle">'
        f'<path d="M30 8 8 46h44z"/>{dots}</svg>'
    )


def actions(case: Projection) -> str:
    """Return what was done, as it was recorded, and what it added to history."""
    body = "".join(_action(entry) for entry in case.entries if entry.kind == ACTED)
    return f'<table class="actions"><tbody>{body}</tbody></table>' if body else ""


def _action(entry: Entry) -> str:
    facts = entry.facts
    said = [_times(facts.get("count")), facts.get("template_id"), facts.get("channel")]
    told = ", ".join(filter(None, [*said, facts.get("detail")]))
    return (
        f"<tr><td>{world_badge(entry.world)}</td><th>{escaped(words(facts['type']))}</th>"
        f"<td>{escaped(told)}{_corrections(facts.get('corrections', ()))}</td>"
        f"<td>{escaped(entry.actor or '')}</td>"
        f"<td>{moment(entry.at)}{lateness(entry.at, entry.recorded_at)}</td></tr>"
    )


def _corrections(ids: Sequence[str]) -> str:
    if not ids:
        return ""
    lines = "".join(f"<li><code>{escaped(one)}</code></li>" for one in ids)
    noun = "correction" if len(ids) == 1 else "corrections"
    return f"<details><summary>{len(ids):,} {noun}</summary><ul>{lines}</ul></details>"


def _times(count: int | None) -> str | None:
    return None if count is None else f"{count:,} \N{MULTIPLICATION SIGN}"
