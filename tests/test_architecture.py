"""The plan of the house, held to: imports run one way, downwards, and the pure part stays pure."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A module may import from the lines above its own, and a package from within itself; nothing else.
FLOORS: list[set[str]] = [
    {"adapters.errors", "adapters.request", "adapters.events", "adapters.addresses", "adapters.writing"},
    {
        "adapters.decoders",
        "adapters.signatures",
        "adapters.functions",
        "adapters.grammar",
        "adapters.mapping_file",
        "adapters.agents",
        "adapters.notices",
    },
    {"adapters.closures", "adapters.times", "adapters.shapes", "adapters.options", "adapters.tables"},
    {"adapters.origins"},
    {"adapters.expressions", "adapters.samples", "adapters.verification"},
    {"adapters.fields", "adapters.completions"},
    {"adapters.conditions", "adapters.timestamps"},
    {"adapters.rules", "adapters.handshake", "adapters.naming"},
    {"adapters.reader"},
    {"adapters.adapter"},
    {"adapters.mapping"},
    {"adapters.catalog"},
    {
        "app",
        "app.settings",
        "app.clock",
        "app.bell",
        "app.place",
        "app.retry",
        "app.standing",
        "app.guard",
        "app.http1",
        "app.time_limits",
    },
    {"app.outcome"},
    {"app.admission", "app.answers", "app.erasure", "app.proxies", "app.shaping", "app.intercom", "app.turns"},
    {"app.metrics", "app.signer", "app.connections", "app.vault", "app.redaction"},
    {"app.egress", "app.proof"},
    {"app.visits"},
    {"app.store"},
    {
        "app.registry",
        "app.housekeeping",
        "app.refusals",
        "app.replies",
        "app.trial",
        "app.mapping_files",
        "app.drift",
        "app.figures",
        "app.stream",
        "app.habits",
    },
    {
        "app.lanes",
        "app.drafting",
        "app.forgetting",
        "app.sandbox",
        "app.mails",
        "app.watching",
        "app.rehearsal",
        "app.tallies",
        "app.far_sender",
    },
    {"app.attempts", "app.announcements", "app.observing", "app.strays", "app.comparing"},
    {"app.batches"},
    {"app.alerts", "app.sending"},
    {"app.delivery"},
    {"app.routing", "app.ingest", "app.bulk"},
    {"app.gateway"},
    {"app.web"},
    {"app.asgi"},
    {"app.cli"},
    {"app.__main__"},
]
FLOOR_OF = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}

# The store has floors of its own.
STORE_FLOORS: list[set[str]] = [
    {"locks", "packing", "checkpoints"},
    {"shortening"},
    {"tables", "engine", "prepared", "ids", "errors"},
    {"requests"},
    {"health", "order"},
    {"transactions", "views", "roster", "nodes", "readiness", "receipts", "arrivals", "replies", "copies"},
    {"leases", "outcomes", "tokens"},
    {"intake"},
    {"rollups", "mails", "duties"},
    {"alerts"},
    {"moves", "accounts", "walks", "ledger", "migrate", "migrations", "idempotency", "drift", "retention", "sealing"},
    {"settling", "space", "recovery", "forgetting", "stats", "sessions", "tally", "condition"},
    {"sizes", "sources", "endpoints", "log", "jobs"},
]
STORE_FLOOR_OF = {room: level for level, rooms in enumerate(STORE_FLOORS) for room in rooms}

PURE = {"adapters"}
NOT_IN_THE_PURE_PART = {
    "litestar",
    "sqlalchemy",
    "sqlmodel",
    "httpx",
    "socket",
    "time",
    "asyncio",
    "os",
    "app",
}


def _modules() -> dict[str, Path]:
    files = [*ROOT.glob("adapters/**/*.py"), *ROOT.glob("app/**/*.py"), *ROOT.glob("mappings/*.py")]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


MODULES = _modules()


def _imports(name: str) -> set[str]:
    """What the module imports, inside functions too."""
    found = set[str]()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {_module_of(f"{node.module}.{alias.name}", node.module) for alias in node.names}
    return found - {name}


def _module_of(full: str, package: str) -> str:
    return full if full in MODULES else package


def _room(name: str) -> str:
    """The room a module belongs to: the longest of its names that has a floor."""
    while name and name not in FLOOR_OF:
        name = name.rpartition(".")[0]
    return name


def test_every_module_has_its_room() -> None:
    homeless = [name for name in MODULES if not _room(name) and name not in ("adapters", "mappings")]
    assert not homeless, f"give these a floor in FLOORS: {homeless}"


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"adapters", "mappings", "app"}))
def test_imports_run_downwards(name: str) -> None:
    room = _room(name)
    wrong = [
        f"{name} imports {imported}"
        for imported in _imports(name)
        if _room(imported) and _room(imported) != room and FLOOR_OF[_room(imported)] >= FLOOR_OF[room]
    ]
    assert not wrong


@pytest.mark.parametrize("name", sorted(name for name in MODULES if name.startswith("app.store.")))
def test_imports_inside_the_store_run_downwards(name: str) -> None:
    own = name.split(".")[2]
    below = {
        other.split(".")[2] for other in _imports(name) if other.startswith("app.store.") and other.split(".")[2] != own
    }
    wrong = [f"{name} imports {other}" for other in below if STORE_FLOOR_OF[other] >= STORE_FLOOR_OF[own]]
    assert not wrong


def test_there_is_no_circle() -> None:
    graph = {name: _imports(name) & set(MODULES) for name in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other: {error.args[1]}")


@pytest.mark.parametrize("name", sorted(name for name in MODULES if name.split(".")[0] in PURE))
def test_adapters_touch_no_database_framework_socket_or_clock(name: str) -> None:
    assert not {imported.split(".")[0] for imported in _imports(name)} & NOT_IN_THE_PURE_PART


def test_nothing_is_imported_for_typing_only_or_as_a_string() -> None:
    wrong = [
        name
        for name, file in MODULES.items()
        if "TYPE_CHECKING" in (text := file.read_text()) or "from __future__ import annotations" in text
    ]
    assert not wrong


def test_the_adapters_import_without_the_application() -> None:
    """What a user of the library alone would do."""
    code = "import sys, adapters.catalog; print([m for m in sys.modules if m == 'app' or m.startswith('app.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
