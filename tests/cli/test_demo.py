import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from app.cli.demo.day import ON_TIME, day_before
from app.cli.demo.lives import ACCEPTED, CLICK, DELIVERED, OPEN, life
from app.cli.demo.world import SILENT, SILENT_FOR_S
from tests.cli.terminal import MAILWEIR, PROJECT, START_WITHIN_S, Shell
from tests.servers import PLAIN

AT = 1_772_525_700.0
FREE_PORTS = ("--port", "0", "--subscriber-port", "0")


def dice(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - nothing secret


def everything(_source: str, _kind: str) -> bool:
    return True


def test_the_same_seed_gives_the_same_day() -> None:
    assert day_before(dice(3), AT, 100, everything) == day_before(dice(3), AT, 100, everything)
    assert day_before(dice(3), AT, 100, everything) != day_before(dice(4), AT, 100, everything)


def test_a_day_is_in_order_and_over() -> None:
    happened = day_before(dice(3), AT, 300, everything)
    assert [one.at_s for one in happened] == sorted(one.at_s for one in happened)
    assert happened[-1].at_s < AT
    assert {one.manner for one in happened} == {"on_time", "repeated", "forged", "unmapped"}
    assert max(one.at_s for one in happened if one.source == SILENT.source) < AT - SILENT_FOR_S + 200
    told = [(one.source, one.message, one.kind, int(one.at_s)) for one in happened if one.manner == ON_TIME]
    assert len(told) == len(set(told))


def test_what_a_source_does_not_tell_does_not_happen() -> None:
    happened = day_before(dice(3), AT, 300, lambda _source, kind: kind == DELIVERED)
    assert {one.kind for one in happened} == {DELIVERED}


def test_nobody_reads_a_mail_before_it_is_there() -> None:
    lives = [life(dice(seed)) for seed in range(300)]
    assert all(steps[0].kind == ACCEPTED for steps in lives)
    assert all(steps == sorted(steps) for steps in lives)
    for kinds in ([step.kind for step in steps] for steps in lives):
        assert OPEN not in kinds or kinds.index(DELIVERED) < kinds.index(OPEN)
        assert CLICK not in kinds or kinds.index(OPEN) < kinds.index(CLICK)


def test_everything_promised_is_there_and_nothing_stays(shell: Shell) -> None:
    environment = {**os.environ, "TMPDIR": str(shell.folder), "PYTHONPATH": str(PROJECT)}
    ran = subprocess.run(
        [*MAILWEIR, "demo", "--headless", "--seconds", "2", "--mails", "300", "--seed", "7", "--json", *FREE_PORTS],
        env=environment,
        capture_output=True,
        timeout=3 * START_WITHIN_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    assert ran.stderr == b""
    found = httpx.Response(200, content=ran.stdout).json()
    assert set(found["states"].values()) == {True}
    assert len(found["states"]) >= 18
    assert found["events"]["email.delivered"] > 300
    assert {"delivered", "failed", "held", "pending"} <= set(found["deliveries"])
    assert {"accepted", "duplicate", "quarantined", "rejected"} == set(found["receipts"])
    assert list(shell.folder.iterdir()) == []


def test_a_person_is_shown_the_way_and_can_make_things_worse(shell: Shell) -> None:
    with running(shell.folder) as printed:
        (link,) = re.findall(r"dashboard +(\S+)", printed)
        (key,) = re.findall(r"API key +(\S+)", printed)
        (control,) = re.findall(r"subscribers +(\S+)", printed)
        assert httpx.get(link, follow_redirects=True, verify=PLAIN).status_code == 200
        url = link.partition("/?")[0]
        headers = {"Authorization": f"Bearer {key}"}
        listed = httpx.get(f"{url}/api/webhooks/manage", headers=headers, verify=PLAIN).json()
        assert {endpoint["description"].partition(":")[0] for endpoint in listed["webhooks"]} >= {"Billing", "Old CRM"}
        changed = httpx.post(f"{control}/crm", json={"status": 500, "latency_ms": 5}, verify=PLAIN).json()
        assert changed["crm"]["behaviour"] == {"status": 500, "latency_ms": 5, "failure_rate": 0.01}
        all_changed = httpx.post(f"{control}/all", json={"failure_rate": 1}, verify=PLAIN).json()
        assert all_changed.keys() == changed_names(control)
        assert httpx.post(f"{control}/nobody", json={}, verify=PLAIN).status_code == 404
        assert httpx.post(f"{control}/crm", json={"status": 99}, verify=PLAIN).status_code == 422
        assert httpx.post(f"{control}/crm", json={"speed": 99}, verify=PLAIN).status_code == 422
        assert httpx.post(control.replace("control", "crm"), json={}, verify=PLAIN).status_code in (500, 503)
    assert not [path for path in shell.folder.iterdir() if path.name.startswith("mailweir-demo")]


def changed_names(control: str) -> Any:
    return httpx.get(control, verify=PLAIN).json().keys()


def test_headless_wants_to_know_for_how_long(shell: Shell) -> None:
    ran = shell.mailweir("demo", "--headless")
    assert (ran.code, "needs --seconds" in ran.err) == (2, True)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """A demo for as long as the block lasts, told to terminate at its end; gives what it says first."""
    printed = folder / "demo.out"
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"}
    with printed.open("w") as out:
        process = subprocess.Popen([*MAILWEIR, "demo", "--mails", "60", *FREE_PORTS], env=environment, stdout=out)
    try:
        until = time.monotonic() + START_WITHIN_S
        while "What happens" not in printed.read_text():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        yield printed.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        ended = process.wait(START_WITHIN_S)
    assert ended == 0


@pytest.fixture(autouse=True)
def _without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MAILWEIR_")]:
        monkeypatch.delenv(name)
