"""What a project that builds on `rml` uses in its own tests."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rml.testing.contract import assert_error_contract
    from rml.testing.crash_points import CrashPoint, ProcessKilled, crash_at
    from rml.testing.duplicates import delivered_twice
    from rml.testing.gateway import Gateway, assert_at_most_once

__all__ = [
    "CrashPoint",
    "Gateway",
    "ProcessKilled",
    "assert_at_most_once",
    "assert_error_contract",
    "crash_at",
    "delivered_twice",
]

# pytest loads the plugin in this package at every start, wanted or not: nothing else comes with it.
_HOMES = {
    "CrashPoint": "rml.testing.crash_points",
    "Gateway": "rml.testing.gateway",
    "ProcessKilled": "rml.testing.crash_points",
    "assert_at_most_once": "rml.testing.gateway",
    "assert_error_contract": "rml.testing.contract",
    "crash_at": "rml.testing.crash_points",
    "delivered_twice": "rml.testing.duplicates",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rml.testing' has no attribute {name!r}")
    return getattr(_import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
