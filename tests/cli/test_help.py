import subprocess
import sys

import pytest
import rich_click as click

from app.cli import VERBS, commands
from tests.cli.terminal import PROJECT, Shell

_WHAT_HELP_LOADS = """
import sys
from app.cli import commands
commands(["--help"], standalone_mode=False)
print({"sqlalchemy", "litestar", "pydantic", "httpx", "app.settings"} & set(sys.modules), file=sys.stderr)
"""

_WHAT_VERBS_LOAD = """
import sys
from app.cli import VERBS
for verb in VERBS.values():
    verb.load()
names = [name for name in sys.modules if not name.startswith("_")]
roots = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)
print(sorted(roots), [name for name in names if name.startswith("app.") and not name.startswith("app.cli")])
"""
_QUICK = ["app", "click", "msgspec", "rich", "rich_click", "typing_extensions"]
"""What the help of a verb is made with; each of the other libraries would make it wait."""

_WHAT_A_START_LOADS = """
import sys
import app.cli.serving
from app.asgi import create_app
from app.settings import load_settings
create_app(load_settings())
print({"alembic", "asyncpg", "pydantic.v1"} & set(sys.modules))
"""


def _verbs(command: click.Command, path: str = "mailweir") -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(path, command)]
    inner = [verb for name, one in command.commands.items() for verb in _verbs(one, f"{path} {name}")]
    return [(path, command), *inner]


LOADED = [found for name, verb in VERBS.items() for found in _verbs(verb.load(), f"mailweir {name}")]


def test_help_imports_nothing_that_takes_long() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _WHAT_HELP_LOADS], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert ran.stderr.strip() == "set()"
    assert all(name in ran.stdout for name in VERBS)


def test_no_verb_makes_its_help_wait_for_what_only_its_work_needs() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _WHAT_VERBS_LOAD], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == f"{_QUICK} []"


def test_a_start_loads_neither_migrations_nor_drivers_that_it_may_not_need() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _WHAT_A_START_LOADS], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "set()"


@pytest.mark.parametrize(("path", "verb"), LOADED, ids=[path for path, _ in LOADED])
def test_every_verb_and_option_explains_itself(path: str, verb: click.Command) -> None:
    assert verb.help
    assert all(option.help for option in verb.params if isinstance(option, click.Option))


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_shows_examples_of_itself(name: str) -> None:
    text = VERBS[name].load().help or ""
    assert f"mailweir {name}" in text.partition("Examples:")[2]


def test_a_verb_is_called_by_the_name_it_is_listed_under() -> None:
    assert {name: verb.load().name for name, verb in VERBS.items()} == {name: name for name in commands.commands}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["migrat"], "Did you mean 'migrate'?"),
        (["normalize"], "Missing argument 'PROVIDER'"),
        (["mappings", "show"], "Missing argument 'PROVIDER'"),
        (["serve", "--port", "0"], "0 is not in the range"),
        (["trigger", "sendgrid"], "name an EVENT"),
        (["receipts", "reprocess", "rcp_1", "--source", "prod", "--api-key", "k"], "not both"),
        (["replay", "evt_1", "--type", "bounce", "--api-key", "k"], "not both"),
        (["deliveries", "retry", "dlv_1", "--dry-run", "--api-key", "k"], "not both"),
        (["recover", "1", "--api-key", "k"], "Missing option '--since'"),
        (["sources", "add", "a", "generic", "--secret", "novalue", "--api-key", "k"], "not of the form NAME=VALUE"),
        (["sources", "list"], "no API key"),
        (["sources", "list", "--api-key", "k", "--url", "ftp://x"], "no URL of a gateway"),
    ],
)
def test_wrong_usage_ends_with_code_2_and_says_why(shell: Shell, arguments: list[str], message: str) -> None:
    ran = shell.mailweir(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in " ".join(ran.err.replace("│", " ").split())
