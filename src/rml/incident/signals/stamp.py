"""What everything about an incident is called elsewhere, so that a search for its id finds it all.

A channel, a call, a document, a branch, a commit, a pull request, labels, an announcement: each
bears the id in the form of its kind. The case is the truth, and they lead back to it. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs

from rml.error import InvalidInputError
from rml.incident.pages.casefile import INCIDENT_ID
from rml.tag import shown

# An id wherever it stands by itself, in any case of letters.
_ANYWHERE: Final = re.compile(
    rf"(?<![A-Za-z0-9]){INCIDENT_ID.pattern}(?![0-9A-Za-z])", re.ASCII | re.IGNORECASE
)
_WORDS: Final = re.compile(r"[^a-z0-9.]+", re.ASCII)
# Git takes longer names, people do not.
SLUG_CHARACTERS_MAX: Final = 60


@attrs.frozen
class Stamp:
    """The names of what belongs to one incident.

    Attributes:
        incident: its id, such as ``INC-2026-0001`` or ``INC-1234``.

    >>> stamp = Stamp("INC-1234")
    >>> print(stamp.branch("rollback checkout 2.17.3"))
    hotfix/INC-1234-rollback-checkout-2.17.3
    """

    incident: str = attrs.field()

    @incident.validator
    def _is_an_id(self, _attribute: attrs.Attribute[str], value: object) -> None:
        if not isinstance(value, str) or not INCIDENT_ID.fullmatch(value):
            message = f"{shown(value)} is no incident's id such as INC-2026-0001"
            raise InvalidInputError(message)

    @property
    def channel(self) -> str:
        """The chat channel: ``#inc-1234``."""
        return f"#{self.incident.lower()}"

    def titled(self, title: str) -> str:
        """Return the name of a call or a document: ``INC-1234 - Checkout Outage``."""
        return f"{self.incident} - {_line('title', title)}"

    def branch(self, what: str) -> str:
        """Return the name of a branch with the remedy: ``hotfix/INC-1234-rollback-checkout``."""
        slug = _WORDS.sub("-", _line("what", what).lower())[:SLUG_CHARACTERS_MAX].strip("-.")
        if not slug:
            raise InvalidInputError(f"what is {what!r}; name it with letters or digits")
        return f"hotfix/{self.incident}-{slug}"

    def message(self, what: str) -> str:
        """Return the first line of a commit or a pull request: ``[INC-1234] Checkout rollback``."""
        return f"[{self.incident}] {_line('what', what)}"

    def labels(self, **of: str) -> tuple[str, ...]:
        """Return the labels: ``incident/INC-1234``, and one for each ``team`` or other name."""
        own = tuple(f"{name}/{_line(name, value)}" for name, value in of.items())
        return (f"incident/{self.incident}", *own)

    def announcement(self, *, severity: str, service: str, component: str, problem: str) -> str:
        """Return the announcement: the ticket, what is wrong in one line, where to come.

        >>> print(
        ...     Stamp("INC-1234").announcement(
        ...         severity="SEV-2",
        ...         service="Checkout",
        ...         component="API",
        ...         problem="High error rate on checkout API",
        ...     )
        ... )
        JIRA# INC-1234
        SEV2 - Checkout - API - High error rate on checkout API
        Slack Channel: #INC-1234
        """
        parts = {
            "severity": severity.replace("-", ""),
            "service": service,
            "component": component,
            "problem": problem,
        }
        line = " - ".join(_line(name, value) for name, value in parts.items())
        return f"JIRA# {self.incident}\n{line}\nSlack Channel: #{self.incident}"

    def artifacts(self, title: str) -> Mapping[str, str]:
        """Return what is opened with an incident: ticket, channel, bridge, document."""
        return {
            "ticket": self.incident,
            "channel": self.channel,
            "bridge": self.titled(title),
            "document": self.titled(title),
        }


def stamps_in(text: str) -> tuple[str, ...]:
    """Return the ids that a branch, a commit or a title bears, each once, in their own order.

    >>> stamps_in("hotfix/INC-1234-rollback"), stamps_in("quick fix")
    (('INC-1234',), ())
    """
    return tuple(dict.fromkeys(found.group().upper() for found in _ANYWHERE.finditer(text)))


def _line(name: str, value: str) -> str:
    """Return a text on one line."""
    given: object = value
    line = " ".join(given.split()) if isinstance(given, str) else ""
    if not line:
        raise InvalidInputError(f"{name} is {shown(value)}; say it in words")
    return line
