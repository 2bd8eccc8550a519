"""What Datasette is told about a ledger's file: what its tables mean, and questions ready to ask.

The metadata is for Datasette 0.65. Every question only reads. Values kept beside entries are shown
to ``root`` alone: nobody else may look at the table that holds them, or write SQL of their own.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

_ROOT: Final = {"id": "root"}

# An effect has a lease until it has ended; a doubt keeps one that nobody owns.
_NOW: Final = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
_IN_DOUBT: Final = f"(l.owner = '' OR l.until <= {_NOW})"
_OPEN: Final = """\
SELECT h.recorded_at, h.operation, h.key, h.attempt, h.effect, {state},
  (SELECT max(i.incident) FROM history AS i WHERE i.effect = h.effect) AS incident
FROM leases AS l
JOIN history AS h ON h.effect = l.effect AND h.attempt = l.attempt AND h.kind = 'effect.intent'
{where}ORDER BY h.idx"""

_QUERIES: Final[dict[str, tuple[str, str, str]]] = {
    "effects_in_doubt": (
        "Effects in doubt",
        "Effects of which nobody knows whether they happened, the oldest first.",
        _OPEN.format(
            state="iif(l.owner = '', 'recorded', 'its lease has run out') AS doubt",
            where=f"WHERE {_IN_DOUBT}\n",
        ),
    ),
    "open_keys": (
        "Open keys",
        "Idempotency keys whose effect has begun and not ended: in flight, or in doubt.",
        _OPEN.format(state=f"iif({_IN_DOUBT}, 'in_doubt', 'in_flight') AS state", where=""),
    ),
    "history_of_key": (
        "History of a key",
        "Every entry of the effects of one idempotency key, such as a payment's id.",
        """\
SELECT idx, recorded_at, world, kind, operation, attempt, incident, facts, effect, id
FROM history
WHERE effect IN (SELECT effect FROM history WHERE kind = 'effect.intent' AND key = :key)
ORDER BY idx""",
    ),
    "incident_timeline": (
        "Timeline of an incident",
        "What happened in an incident, and when. Give its id, such as INC-2026-0001.",
        """\
SELECT at, world, kind, actor, coalesce(json_extract(facts, '$.title'),
  json_extract(facts, '$.detail'), json_extract(facts, '$.summary'),
  json_extract(facts, '$.reason')) AS what, effect, recorded_at, idx
FROM history
WHERE incident = :incident
ORDER BY at, idx""",
    ),
    "corrections_of_entry": (
        "Corrections of an entry",
        "An entry and what corrects it, step by step. Give the entry's id.",
        """\
WITH RECURSIVE chain (id, step) AS (
  SELECT :entry, 0
  UNION
  SELECT h.id, chain.step + 1 FROM history AS h JOIN chain ON h.corrects = chain.id
)
SELECT chain.step, h.idx, h.recorded_at, h.kind, h.operation, h.key, h.actor, h.facts, h.id
FROM chain JOIN history AS h ON h.id = chain.id
ORDER BY h.idx""",
    ),
    "entries_by_operation_and_day": (
        "Entries by operation and day",
        "How many entries of which kind were recorded, by day (UTC). Since may be left empty.",
        """\
SELECT substr(recorded_at, 1, 10) AS day, operation, kind, count(*) AS entries
FROM history
WHERE recorded_at >= :since
GROUP BY day, operation, kind
ORDER BY day DESC, operation, kind""",
    ),
    "erased_fields": (
        "Erased fields",
        "Which personal fields were erased, when, by whom and why. The values are gone.",
        """\
SELECT e.recorded_at AS erased_at, f.value AS field, o.kind, o.operation, o.idx,
  e.actor AS erased_by, json_extract(e.facts, '$.reason') AS reason, e.corrects AS entry
FROM history AS e, json_each(e.facts, '$.fields') AS f
JOIN history AS o ON o.id = e.corrects
WHERE e.kind = 'payload.erased'
ORDER BY e.idx""",
    ),
    "state_of_the_ledger": (
        "State of the ledger",
        "What the file says of itself, to compare with a checkpoint that was kept elsewhere.",
        """\
SELECT (SELECT value FROM meta WHERE name = 'origin') AS origin, size, lower(hex(root)) AS root
FROM head""",
    ),
}

_COLUMNS: Final = {
    "idx": "the entry's place in the ledger, from 0, without gaps",
    "id": "the entry's id, a UUIDv7",
    "kind": "what the entry is, such as effect.intent",
    "world": "where it happened: RML1, RML2 or RML3",
    "at": "when it happened, in UTC; a person may have told it",
    "recorded_at": "when the ledger took it in, in UTC",
    "actor": "who did it",
    "service": "the program that recorded it",
    "operation": "what is done, such as payment.charge",
    "scope": "whose keys these are",
    "key": "the idempotency key",
    "effect": "the effect that it belongs to",
    "attempt": "which attempt, from 1",
    "corrects": "the entry that it corrects",
    "incident": "the incident that it belongs to",
    "correlation": "the request that it belongs to",
    "traceparent": "the trace that it belongs to",
    "facts": "what was recorded in clear, as JSON",
    "bytes": "the canonical bytes: the truth, of which the other columns are derived",
    "leaf": "the SHA-256 leaf hash of the bytes (RFC 6962)",
    "personal": "what can be erased, as JSON {name: [salt, value]}",
}
_HISTORY: Final = tuple(name for name in _COLUMNS if name not in ("scope", "traceparent"))
_TABLES: Final[dict[str, dict[str, Any]]] = {
    "history": {
        "description": "Every entry, without what is kept beside it: the table to look into.",
        "columns": {
            name: _COLUMNS[name] for name in _HISTORY if name not in ("bytes", "leaf", "personal")
        },
        "size": 100,
    },
    "entries": {
        "description": "Every entry as it is stored, with the values that can be erased.",
        "columns": {name: text for name, text in _COLUMNS.items() if name != "facts"},
        "allow": _ROOT,
    },
    "leases": {
        "description": "Effects that have begun and not ended. Not history: rows come and go.",
        "columns": {
            "effect": "the effect",
            "attempt": "which attempt",
            "owner": "the id of its intent; empty once the effect is in doubt",
            "until": "when it need no longer be believed, in UTC",
        },
    },
    "tiles": {"description": "Full tiles of the Merkle tree over the entries.", "hidden": True},
    "head": {"description": "The tree's size and root after the last commit.", "hidden": True},
    "meta": {"description": "Which ledger this is.", "hidden": True},
}


def datasette_metadata(database: str, origin: str) -> dict[str, Any]:
    """Return Datasette's metadata for one ledger, as JSON data.

    Args:
        database: what Datasette calls the file: its name without the last ending.
        origin: the ledger's identity.
    """
    queries = {
        name: {"title": title, "description": description, "sql": sql}
        for name, (title, description, sql) in _QUERIES.items()
    }
    return {
        "title": f"Ledger {origin}",
        "description": "An append-only history of effects. `rml verify` says whether it is intact.",
        "databases": {database: {"allow_sql": _ROOT, "queries": queries, "tables": _TABLES}},
    }


def dump_metadata(metadata: dict[str, Any]) -> str:
    """Return metadata as YAML."""
    text: str = yaml.dump(metadata, Dumper=_Dumper, sort_keys=False, width=100)
    return text


class _Dumper(yaml.SafeDumper):
    """YAML for people: a query stands on lines of its own, and nothing refers to another place."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the library's signature
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = "|" if "\n" in data else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)
