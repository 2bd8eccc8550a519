"""Where a case stands, for whoever is woken by it.

What has been done, what comes next, who must act, and what bars closing.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Final

from rml.incident.casefile_yaml import time_text
from rml.incident.projection import Phase, Projection

# What a prompt shows of a long list; case.missing() has all of it.
MISSING_SHOWN_MAX: Final = 3
# What a notebook shows of a long timeline, newest last; case.timeline has all of it.
EVENTS_SHOWN_MAX: Final = 50
_TITLE_SHOWN_CHARS: Final = 100

# For each step: what it is for, the call that takes it, and who must act.
_NEXT: Final = {
    Phase.CONTAIN: ("stop the bleeding", "case.contain(...)", "sre"),
    Phase.UNDERSTAND: (
        "say what happened and count what became history",
        "case.understand(...)",
        "sre",
    ),
    Phase.DECIDE: (
        "decide how history is to be updated forward",
        "case.decide(...)",
        "legal, business, sre",
    ),
    Phase.ACT: (
        "carry out what was decided, as new history",
        "case.act(...)",
        "those whom the decision names",
    ),
    Phase.LEARN: (
        "write down what changes from here on",
        "case.learn(...)",
        "legal, business, sre",
    ),
    Phase.CLOSED: ("close the case", "case.close(by=...)", "whoever answers for it"),
}


def rows(case: Projection, missing: Sequence[str]) -> list[tuple[str, str]]:
    """Return where a case stands as labelled lines."""
    file = case.file
    facts = [file.rml_world.value, file.status.value]
    if file.classification.severity is not None:
        facts.append(str(file.classification.severity))
    signals = "1 signal" if case.count == 1 else f"{case.count} signals"
    lines = [
        ("state", f"{', '.join(facts)}; {signals} since {time_text(case.opened_at)}"),
        ("done", ", ".join(case.steps)),
    ]
    if case.closed is not None:
        when = time_text(case.closed.recorded_at)
        return [*lines, ("closed", f"by {case.closed.actor} at {when}")]
    step = next(phase for phase in Phase if phase not in case.steps)
    what, call, who = _NEXT[step]
    lines += [("next", f"{what}: {call}"), ("who", who)]
    return lines + _barriers(missing)


def _barriers(missing: Sequence[str]) -> list[tuple[str, str]]:
    shown = list(missing[:MISSING_SHOWN_MAX])
    if len(missing) > len(shown):
        shown.append(f"... and {len(missing) - len(shown)} more: case.missing()")
    return [("missing" if i == 0 else "", line) for i, line in enumerate(shown)]


def heading(case: Projection) -> str:
    """Return the id and the title on one line."""
    title = " ".join(case.file.title.split())
    if len(title) > _TITLE_SHOWN_CHARS:
        title = f"{title[:_TITLE_SHOWN_CHARS]}..."
    return f"{case.file.incident_id} {title}"


def as_text(case: Projection, missing: Sequence[str]) -> str:
    """Return where a case stands, for a prompt."""
    body = [f"  {label:<8}{text}" for label, text in rows(case, missing)]
    return "\n".join([heading(case), *body])


def as_html(case: Projection, missing: Sequence[str]) -> str:
    """Return where a case stands and its timeline, for a notebook; every value is escaped."""
    state = "".join(
        f"<tr><th>{html.escape(label)}</th><td>{html.escape(text)}</td></tr>"
        for label, text in rows(case, missing)
    )
    timeline = case.file.timeline
    events = "".join(
        "<tr>"
        + "".join(
            f"<td>{html.escape(text)}</td>"
            for text in (time_text(event.at), event.world.value, event.type, event.detail)
        )
        + "</tr>"
        for event in timeline[-EVENTS_SHOWN_MAX:]
    )
    hidden = len(timeline) - EVENTS_SHOWN_MAX
    more = f"<p><em>{hidden} earlier events: case.timeline</em></p>" if hidden > 0 else ""
    return (
        f"<h4>{html.escape(heading(case))}</h4><table>{state}</table>{more}"
        "<table><thead><tr><th>at</th><th>world</th><th>type</th><th>detail</th></tr></thead>"
        f"<tbody>{events}</tbody></table>"
    )
