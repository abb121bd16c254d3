"""`mailweir prune`, with no gateway and beside one."""

import os
from pathlib import Path

import pytest

from tests.cli.terminal import Shell

NOTHING = {"receipts": 0, "events": 0, "deliveries": 0, "attempts": 0}


def test_without_a_database_it_says_so_and_makes_none(shell: Shell) -> None:
    ran = shell.mailweir("prune")
    assert ran.code == 2
    assert "no database data/mailweir.db" in ran.err
    assert not (shell.folder / "data/mailweir.db").exists()


def test_a_database_that_has_not_been_migrated_is_left_alone(shell: Shell) -> None:
    (shell.folder / "data").mkdir()
    (shell.folder / "data/mailweir.db").touch()
    ran = shell.mailweir("prune")
    assert ran.code == 2
    assert "mailweir migrate" in ran.err


def test_beside_a_running_gateway_what_is_old_goes_and_the_gateway_goes_on(gateway: Shell) -> None:
    for event in ("bounce", "click"):
        source = ("sources", "add", f"p{event}", "sendgrid", "--simulated")
        assert gateway.mailweir(*source).code == 0
        assert gateway.mailweir("trigger", "sendgrid", event, "--source", f"p{event}").code == 0
    foretold = gateway.mailweir("prune", "--older-than", "0", "--dry-run").row
    assert foretold == {"older_than_days": 0, "dry_run": True, **NOTHING, "receipts": 2, "events": 2}
    assert len(gateway.mailweir("events", "list").rows) == 2
    assert gateway.mailweir("prune").row == {"older_than_days": 30, "dry_run": False, **NOTHING} | {
        "bytes_given_back": 0
    }
    removed = gateway.mailweir("prune", "--older-than", "0").row
    assert (removed["receipts"], removed["events"]) == (2, 2)
    assert gateway.mailweir("events", "list").rows == []
    assert gateway.mailweir("trigger", "sendgrid", "bounce", "--source", "pbounce").code == 0


@pytest.mark.parametrize("days", ["-1", "3651", "soon"])
def test_ages_that_are_none_are_refused(shell: Shell, days: str) -> None:
    assert shell.mailweir("prune", "--older-than", days).code == 2


def test_a_database_elsewhere_is_named_by_the_setting(shell: Shell, sqlite_migrated: Path) -> None:
    ran = shell.mailweir("prune", "--dry-run", database_url=f"sqlite+aiosqlite:///{os.fspath(sqlite_migrated)}")
    assert ran.row == {"older_than_days": 30, "dry_run": True, **NOTHING}
