"""Tests of the ledger that say nothing of its store, run again over PostgreSQL.

They are the very functions of those modules; only the fixture `ledger` is another one here.
"""

import importlib.util
from pathlib import Path

MODULES = ("test_resolve", "test_corrections")


def _load(name: str) -> dict[str, object]:
    path = Path(__file__).parent.parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"over_postgres_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return vars(module)


for _name in MODULES:
    for _key, _value in _load(_name).items():
        if _key.startswith("test_"):
            globals()[f"{_key}_{_name}"] = _value
        elif type(_value).__name__ == "FixtureFunctionDefinition":
            assert _key not in globals(), f"two fixtures are called {_key}"
            globals()[_key] = _value
