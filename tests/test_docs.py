"""The pages under docs name everything there is, nothing that is not, and lead nowhere dead."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
import yaml
from click import Group

from adapters.adapter import Adapter
from adapters.agents import MACHINE_REASONS
from adapters.catalog import Catalog
from adapters.events import BLOCKS, EVENT_TYPES, MESSAGE_TYPES, Event, EventData, Provider, canonical_type
from adapters.mapping import load_mapping
from adapters.notices import NOTICE_BLOCKS, Notice, OperationalEvent
from adapters.rules import IGNORED
from adapters.shapes import BOUNCE_CLASSES
from app import metrics
from app.asgi import create_app
from app.cli import VERBS
from app.retry import DEFAULT_SCHEDULE_S
from app.settings import SettingLine, describe, load_settings
from app.store.tables import DELIVERY_STATUSES, RECEIPT_STATUSES
from app.watching import KINDS
from app.web.openapi import describe as describe_api

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NOT_OURS = {".venv", ".git", "node_modules", ".pytest_cache", ".hypothesis"}
PAGES = sorted(
    path for path in ROOT.rglob("*.md") if not NOT_OURS.intersection(path.relative_to(ROOT).parts) and path.is_file()
)
TOP_FOLDERS = "adapters|app|bench|constraints|docs|mappings|tests"
MADE_WHEN_NEEDED = {"bench/results/"}
EXAMPLE_HOST = "http://127.0.0.1:8420"

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@cache
def read(page: str) -> str:
    return (DOCS / page).read_text()


def section(page: str, heading: str) -> str:
    """What stands under that heading, up to the next of its level or above; without the code blocks' own #."""
    lines = read(page).splitlines()
    starts = [at for at, line in enumerate(lines) if re.fullmatch(rf"#+ {re.escape(heading)}", line)]
    assert starts, f"docs/{page} has no heading «{heading}»"
    level = lines[starts[0]].index(" ")
    end = next((at for at in range(starts[0] + 1, len(lines)) if re.match(rf"#{{1,{level}}} ", lines[at])), None)
    return "\n".join(lines[starts[0] : end])


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, headings included."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def first_cells(text: str) -> set[str]:
    """The words in backticks in first cells."""
    return {word for row in rows(text) for word in re.findall(r"`([^`]+)`", row[0])}


def assert_names_all(text: str, words: Iterable[str]) -> None:
    missing = [word for word in words if f"`{word}`" not in text]
    assert not missing, f"not in the docs: {', '.join(missing)}"


# Settings, command line, metrics, log.


@pytest.fixture
def defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[SettingLine]:
    """Every setting as it is when nothing is set."""
    for name in [name for name in os.environ if name.startswith("MAILWEIR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return describe(load_settings())


def test_every_setting_is_described_with_default_unit_and_meaning(defaults: list[SettingLine]) -> None:
    shown = [row for row in rows(section("operating.md", "Settings")) if row[0].startswith("`MAILWEIR_")]
    assert shown == [
        [f"`{line.name}`", f"`{line.value}`" if line.value else "", line.unit, line.meaning] for line in defaults
    ]


def test_every_setting_that_a_page_names_exists(defaults: list[SettingLine]) -> None:
    known = {line.name for line in defaults}
    for page in PAGES:
        assert set(re.findall(r"MAILWEIR_[A-Z_]+[A-Z]", page.read_text())) <= known, page


def test_every_verb_of_the_command_line_is_described() -> None:
    assert first_cells(section("operating.md", "The command line")) == set(verbs())


def verbs() -> Iterator[str]:
    for name, verb in VERBS.items():
        command = verb.load()
        if isinstance(command, Group):
            yield from (f"mailweir {name} {under}" for under in command.commands)
        else:
            yield f"mailweir {name}"


@each_page
def test_every_command_that_a_page_shows_exists_with_its_options(page: Path) -> None:
    for line in re.findall(r"mailweir [a-z][^`\n|#>]*", code_of(page)):
        words = line.split()[1:]
        command: click.Command | None = VERBS[words[0]].load() if words[0] in VERBS else None
        assert command is not None, line
        if isinstance(command, Group):
            command = command.commands.get(words[1])
            assert command is not None, line
        known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--json"}
        assert set(re.findall(r"(?<= )--[a-z-]+", line)) <= known, line


def test_every_metric_is_described() -> None:
    names = re.findall(r"^# TYPE (\w+)", metrics.exposition().decode(), re.MULTILINE)
    assert first_cells(section("operating.md", "Metrics")) >= set(names)


def test_every_metric_that_is_named_exists() -> None:
    names = set(re.findall(r"^# TYPE (\w+)", metrics.exposition().decode(), re.MULTILINE))
    assert set(re.findall(r"\bmailweir_\w+", read("operating.md"))) <= names


def test_every_line_of_the_log_is_described() -> None:
    sources = [path.read_text() for path in (ROOT / "app").rglob("*.py")]
    written = {name for source in sources for name in re.findall(r'\blog\.\w+\((?:\s*#.*)?\s*"([a-z_.]+)"', source)}
    assert "inbound.rejected" in written
    assert first_cells(section("operating.md", "Logs")) == written


def test_every_kind_of_alert_is_described() -> None:
    assert first_cells(section("operating.md", "Alerts")) == set(KINDS)


# The API.


@cache
def api() -> dict[str, Any]:
    return describe_api(create_app(load_settings()))


def operations() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in api()["paths"].items():
        for method, operation in methods.items():
            if method != "parameters":
                yield method.upper(), path, operation


def test_every_route_is_described() -> None:
    assert_names_all(read("api.md"), (f"{method} {path}" for method, path, _ in operations()))


def test_every_route_that_is_named_exists() -> None:
    known = {f"{method} {path}" for method, path, _ in operations()} | {"GET /openapi.json"}
    for page in PAGES:
        assert set(re.findall(r"`((?:GET|POST|PATCH|DELETE) /[^` ]*)`", page.read_text())) <= known, page


def test_every_parameter_and_field_of_a_call_is_described() -> None:
    schemas = api()["components"]["schemas"]
    for method, path, operation in operations():
        given = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"}
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body:
            given |= set(schemas[body["schema"]["$ref"].rpartition("/")[2]]["properties"])
        missing = [name for name in sorted(given) if f"`{name}`" not in read("api.md")]
        assert not missing, f"{method} {path}: {missing}"


def test_every_field_of_an_endpoint_is_described() -> None:
    fields = api()["components"]["schemas"]["Endpoint"]["properties"]
    assert first_cells(section("api.md", "Register an endpoint")) == set(fields)


def test_every_status_of_deliveries_and_receipts_is_described() -> None:
    assert first_cells(section("api.md", "Deliveries")) >= set(DELIVERY_STATUSES)
    assert_names_all(section("api.md", "Inbound"), RECEIPT_STATUSES)


@each_page
def test_every_url_in_an_example_is_a_route(page: Path) -> None:
    known = [re.sub(r"\{\w+\}", "[^/]+", path) for path in (*api()["paths"], "/openapi.json")]
    for path in re.findall(rf"{EXAMPLE_HOST}(/[^\s\"'?`]+)", code_of(page)):
        assert any(re.fullmatch(pattern, path.rstrip("/")) for pattern in known), path


def test_the_schedule_is_the_one_that_is_kept() -> None:
    units = {"s": 1, "min": 60, "h": 3600}
    (waits,) = [row[1:-1] for row in rows(section("verifying.md", "The schedule")) if row[0] == "wait"]
    assert tuple(int(number) * units[unit] for number, unit in map(str.split, waits)) == DEFAULT_SCHEDULE_S


# Events.


def test_every_event_type_is_described_with_its_meaning() -> None:
    shown = [row for row in rows(section("events.md", "Types")) if row[0].startswith("`")]
    assert shown == [[f"`{name}`", meaning] for name, meaning in EVENT_TYPES.items()]


def test_the_words_for_a_type_mean_that_type() -> None:
    shown = {row[0].strip("`"): row[1] for row in rows(section("events.md", "Subscribing")) if row[0].startswith("`")}
    assert list(shown) == list(MESSAGE_TYPES)
    for name, words in shown.items():
        for word in re.findall(r"`(\w+)`", words):
            assert canonical_type(word) == canonical_type(f"email.{word}") == name


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_is_described_with_its_fields(block: str) -> None:
    assert first_cells(section("events.md", f"`{block}`")) == names_of(BLOCKS[block])


def test_every_other_field_of_an_event_is_described() -> None:
    assert first_cells(section("events.md", "The envelope")) == names_of(Event)
    assert first_cells(section("events.md", "`data`")) == names_of(EventData) - set(BLOCKS)
    assert first_cells(section("events.md", "`provider`")) == names_of(Provider)


def test_every_field_of_a_notice_is_described() -> None:
    text = section("events.md", "Notices")
    assert first_cells(text) == names_of(Notice)
    shown = {row[0].strip("`"): row[2] for row in rows(text)}
    for block, struct in NOTICE_BLOCKS.items():
        assert_names_all(shown[block], names_of(struct))


def test_the_example_of_a_notice_is_one_to_the_last_field() -> None:
    (example,) = blocks("json", section("events.md", "Notices"))
    assert msgspec.to_builtins(msgspec.json.decode(example, type=OperationalEvent)) == json.loads(example)


def names_of(struct: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(struct)}


def test_every_bounce_class_is_described() -> None:
    assert first_cells(section("events.md", "Bounce classes")) == set(BOUNCE_CLASSES)


def test_every_reason_for_a_machine_is_explained() -> None:
    described = {row[0].strip("`"): row[1] for row in rows(section("events.md", "Machines"))[2:]}
    assert described == MACHINE_REASONS


def test_the_example_is_an_event_to_the_last_field() -> None:
    (example,) = blocks("json", section("events.md", "One event in full"))
    event = msgspec.json.decode(example, type=Event)
    assert event.data.received_at
    assert msgspec.to_builtins(event) == json.loads(example)


# Providers.


@cache
def shipped() -> Catalog:
    return Catalog.load()


each_mapping = pytest.mark.parametrize("provider", shipped().names())


@each_mapping
def test_every_shipped_mapping_is_described(provider: str) -> None:
    adapter = shipped().get(provider)
    (line,) = [row for row in rows(read("providers.md")) if row[1] == f"`{provider}`"] or [["not in the first table"]]
    assert re.fullmatch(r"\[[^]]+\]\(#[^)]+\)", line[0])
    assert line[-1] == str(adapter.refused_status)
    assert_names_all(line[2], (name for name, needed in adapter.secret_names if needed))
    assert_names_all(section_of(adapter), (name for name, _ in adapter.secret_names if name != "basic_auth"))


@each_mapping
def test_every_native_type_of_a_mapping_is_described_with_what_it_becomes(provider: str) -> None:
    adapter = shipped().get(provider)
    shown = [row for row in rows(section_of(adapter)) if re.fullmatch(r"(`email\.\w+`|ignored)(, .*)?", row[1])]
    assert sorted(shown) == sorted(native_rows(adapter)), table_of(adapter)


def section_of(adapter: Adapter) -> str:
    heading = f"\n## {adapter.title}\n"
    assert heading in read("providers.md"), f"docs/providers.md needs a section:\n{heading}\n{table_of(adapter)}"
    return section("providers.md", adapter.title)


def native_rows(adapter: Adapter) -> list[list[str]]:
    return [[f"`{native}`", becomes(adapter, native)] for native in adapter.native_types if native[-1] != "*"]


def table_of(adapter: Adapter) -> str:
    """The table as it should stand in the docs."""
    cells = [["native type", "becomes"], ["---", "---"], *native_rows(adapter)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def becomes(adapter: Adapter, native: str) -> str:
    return ", ".join("ignored" if name == IGNORED else f"`{name}`" for name in sorted(adapter.unified_types(native)))


def test_the_mapping_in_the_docs_is_sound_and_can_be_played() -> None:
    (text,) = blocks("yaml", read("providers.md"))
    adapter = load_mapping(text, "acme.yaml")
    stored, signing = adapter.generate_secrets()
    for sample in adapter.samples:
        request = adapter.sample_request(
            [sample], signing=signing, url="", at=1_772_525_700, recipient="ann@example.com", unique=lambda: "1"
        )
        reading = adapter.read(request, {name: [secret] for name, secret in stored.items()}, None, 0)
        assert len(reading.events) == 1
        assert not reading.quarantined


# Links and examples of every page.


@each_page
def test_no_link_is_dead(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert found.is_relative_to(ROOT.resolve()), target
        assert not anchor or anchor in anchors(found), target


@each_page
def test_a_page_names_nothing_outside_the_repository(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"(?<![\w.])/(work|tmp|root|home|Users)/|file://", text)
    for path in re.findall(rf"`((?:{TOP_FOLDERS})/[\w./-]*)`", text):
        assert (ROOT / path).exists() or path in MADE_WHEN_NEEDED, path


@each_page
def test_every_example_can_be_read(page: Path) -> None:
    text = page.read_text()
    for block in blocks("json", text):
        json.loads(block)
    for block in blocks("yaml", text):
        yaml.safe_load(block)
    for number, block in enumerate(blocks("python", text)):
        compile(block, f"{page.name}, block {number}", "exec")


def anchors(page: Path) -> set[str]:
    """The names by which GitHub reaches the headings."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def code_of(page: Path) -> str:
    """Everything in code blocks of a shell and in backticks, one piece a line."""
    text = page.read_text()
    return "\n".join([*blocks("sh", text), *re.findall(r"`([^`\n]+)`", without_blocks(text))])
