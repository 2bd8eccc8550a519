"""What a case says about the way on, in the words of the command line.

The rules of a case name the calls of Python: ``case.learn(changes=[...])``. Somebody at a shell
types ``rml case INC-2026-0001 learn --change ...``.
"""

from __future__ import annotations

import re
from typing import Final

# A call of a case or of the casebook, with what it is given: no text of it has brackets within.
_CALL: Final = re.compile(
    r"\b(?:(?P<book>book)\.|case\.|(?=(?:understand|learn)\())(?P<verb>[a-z_]+)"
    r"(?:\((?P<given>[^()]*)\))?"
)
_OPTION: Final = re.compile(r"(?<![\w-])([a-z_]+)=(?=[\s.,;:)]|$)")
_ARGUMENT: Final = re.compile(r"\s*(?:(?P<name>[a-z_]+)=)?(?P<value>.*)", re.DOTALL)
# Options that are not called as the parameter is.
_OPTIONS: Final = {
    "changes=[...]": "--change ...",
    "changes=[{'lesson': ...}]": "--change ... --lesson ...",
    "reversible=...": "--reversible|--irreversible",
}
_PHRASES: Final = {
    "decide with ledger.resolve": "decide with rml resolve",
    "reconcile it": "reconcile it with rml reconcile",
    "ledger.correct(...)": "rml correct",
    "rml.Levers().release(...) or rml lever release": "rml lever release",
    "rml.Levers().release(...)": "rml lever release",
    "case.count_impact(...)": "case.impact(...)",
    "in decided_by, or say in absent": "with --legal, --business, --sre, or say with --absent",
    "in attended, or say in absent": "with --legal, --business, --sre, or say with --absent",
}


def in_options(text: str, incident: str) -> str:
    """Return a sentence with commands and options in place of calls and parameters."""
    for phrase, ours in _PHRASES.items():
        text = text.replace(phrase, ours)
    text = _CALL.sub(lambda call: _command(call, incident), text)
    return _OPTION.sub(lambda found: _option(found[1]), text)


def _command(call: re.Match[str], incident: str) -> str:
    begin = "rml cases" if call["book"] else f"rml case {incident}"
    given = [_given(one) for one in (call["given"] or "").split(", ") if one]
    return " ".join([begin, call["verb"].replace("_", "-"), *given])


def _given(argument: str) -> str:
    if argument in _OPTIONS:
        return _OPTIONS[argument]
    found = _ARGUMENT.fullmatch(argument)
    if found is None or found["name"] is None:
        return argument
    return f"{_option(found['name'])} {found['value']}"


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
