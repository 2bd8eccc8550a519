"""Which module may import which: dependencies point to the left, and every module has a place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "rml"

# Top to bottom is left to right. A module imports only from lines above its own, so the modules of
# one line know nothing of each other. A room may stand here before it is built. `room.*` is every
# module of that room: its files differ only in what they speak to.
ORDER = """
    incident.signals incident.levers incident.evidence incident.command incident.pages
    ledger.proofs ledger.anchors ledger.checks ledger.exports ledger.corrections
    ledger.erasures
    ledger.queries
    world redact attempt entropy handled legible ledger.anchors.post ledger.checks.beside
    cause clients
    detail tag judgement
    error
    clock files lint.*
    codec context effect.replays ledger.checks.clocks
    threads verdict problem slo.* incident.command.workdays ledger.queries.frames
    ledger.errors ledger.queries.rows ledger.tree ledger.checks.verification effect.errors
    awaiting
    effect.values effect.spelling
    incident.pages.casefile_form incident.pages.casefile_yaml incident.severity
    incident.signals.hook
    incident.signals.marks incident.kinds incident.evidence.happening
    ledger.entry ledger.proofs.merkle ledger.proofs.note ledger.proofs.tlog_tiles
    incident.pages.casefile incident.signals.occurrence incident.command.communication
    incident.scope incident.making_good
    incident.declaration incident.cost
    incident.metrics incident.command.order
    incident.command.role incident.levers.lever incident.evidence.log_source
    incident.evidence.joining
    ledger.store ledger.content ledger.proofs.checkpoint ledger.checks.headers
    incident.closing incident.lines incident.filing incident.pages.markup
    incident.signals.stamp
    incident.evidence.otlp_source
    ledger.proofs.cosignature incident.projection
    ledger.checks.check ledger.checks.sieve
    ledger.proofs.proof ledger.queries.cursor ledger.exports.disclosure effect.state
    incident.command.postmortem incident.levers.stop incident.lesson incident.child
    incident.levers.stopped
    incident.levers.containment
    incident.gate
    incident.pages.standing ledger.anchors.kept ledger.anchors.anchor
    ledger.corrections.pending ledger.erasures.retention effect.saga_state
    ledger.anchors.witness
    ledger.corrections.correction ledger.erasures.losses ledger.leases
    ledger.anchors.anchoring effect.metrics
    ledger.draft ledger.queries.follow ledger.proofs.notary ledger.checks.verify
    ledger.checks.assurance incident.step
    incident.command.leading incident.remark incident.lifecycle incident.command.policy
    incident.pages.containment_part incident.pages.history_part incident.pages.people_part
    incident.pages.timeline_part
    incident.pages.page
    ledger.argument ledger.queries.upcast ledger.exports.backup ledger.exports.copying
    ledger.exports.tiles_export
    ledger.erasures.erasure ledger.writing
    ledger.enlisting
    ledger.corrections.holding ledger.erasures.pruning
    effect.request effect.returns incident.signals.opening
    effect.doubt effect.decide
    effect.resolution incident.levers.containment_proof
    incident.rule
    incident.command.role_rule
    incident.ending_rule incident.registry incident.step_rule
    ledger.queries.asking
    ledger.queries.view
    ledger.queries.reading
    ledger.proofs.proving
    ledger.exports.exporting ledger.corrections.correcting ledger.erasures.forgetting
    ledger.ledger effect.operation
    ledger ledger.anchors.ledger_anchor incident.recording
    incident.command.command incident.finishing incident.evidence.impact
    incident.evidence.ledger_source incident.trail
    config effect.definition effect.heartbeat effect.saga_records incident.levers.lever_watch
    incident.signals.telling incident.reading incident.levers.levers effect.retry effect.guard
    incident.private
    incident.evidence.evidence incident.evidence.answers
    effect.saga_body effect.reconcile incident.signals.escalation incident.case
    effect.call
    effect.enlisted effect.idempotent effect.asynchronous effect.saga_run
    incident.signals.boundary incident.casebook
    effect.compensate effect.saga_script effect.reconciler
    effect.saga
    incident effect runbook.* outbox.*
    export.*
    stores.turns stores.commits stores.conditions stores.paging
    stores.sqlite_file stores.sqlite_rows
    stores.sqlite_backup stores.sqlite_enlisted stores.sqlite_readers ledger.anchors.file_anchor
    stores.postgres_place stores.postgres_surveys
    stores.postgres_line stores.postgres_connection
    stores.sqlite_writer stores.postgres_rows stores.postgres_schema
    stores.sqlite_reading stores.postgres_listening stores.postgres_findings stores.postgres_lines
    stores.postgres_sealing stores.postgres_standing
    stores.postgres_enlisted stores.postgres_stream
    stores.sqlite_verifying stores.postgres_writing stores.postgres_reading
    stores.memory stores.sqlite stores.postgres
    stores
    rml
    notebook.* testing.* integrations.* doctor.* demo.*
    cli.*
    __main__
"""
# (importing module, imported module): why this one may look to the right.
EXCEPTIONS: dict[tuple[str, str], str] = {}

PLACE = {name: line for line, names in enumerate(ORDER.splitlines()) for name in names.split()}


def name_of(path: Path) -> str:
    """The module's name without the leading `rml.`; the front door itself is `rml`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts).removesuffix("__init__").rstrip(".") or "rml"


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def place_of(module: str) -> int | None:
    """Where a module stands: by its own name, or with all of its room."""
    return PLACE.get(module, PLACE.get(module.split(".", maxsplit=1)[0] + ".*"))


def imports(path: Path) -> Iterator[str]:
    """Every module of ours that a file imports, wherever in the file it does so."""
    package = ["rml", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*start, *(node.module or "").split(".")]).strip(".")
            names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            inner = name.removeprefix("rml.")
            if name == "rml" or inner != name:
                candidates = (inner, inner.rpartition(".")[0])
                yield next((known for known in candidates if known in MODULES | PLACE), "rml")


def test_every_module_has_a_place() -> None:
    """A new module must be placed in the table, so that somebody thinks about what it may know."""
    unplaced = [module for module in MODULES if place_of(module) is None]

    assert [] == unplaced, "write these into ORDER, as far left as their imports allow"


@pytest.mark.parametrize("module", MODULES)
def test_dependencies_point_to_the_left(module: str) -> None:
    """A module imports only from what stands left of it."""
    room = module.split(".", maxsplit=1)[0]
    wrong = {
        imported
        for imported in imports(MODULES[module])
        if (place_of(imported) or 0) >= (place_of(module) or 0)
        and (module, imported) not in EXCEPTIONS
        and not (f"{room}.*" in PLACE and imported.startswith(f"{room}."))
    }

    assert set() == wrong, f"{module} may not import these"


def test_exceptions_are_still_needed() -> None:
    """An exception whose import is gone is taken out of the list."""
    unused = {(a, b) for a, b in EXCEPTIONS if a not in MODULES or b not in imports(MODULES[a])}

    assert set() == unused
