"""The benchmark runs to its end against a real server, and does not believe figures of events that did not all come."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.figures import percentile
from bench.generator import Load, Sent
from bench.machine import ROOT
from bench.proof import RunBroken, arrival_times
from bench.requests import email_ids
from bench.scenarios import NAMES, explained
from bench.server import Stored
from bench.sink import Arrival

LOAD = Load("proof", "single", events=3, port=1, connections=1, timeout_s=1.0)
SENT = Sent(sent_ns=[1, 2, 3], answered_ns=[4, 5, 6], refused={}, failure=None, cpu_s=0.0)
ARRIVALS = [Arrival(10 + n, f"evt_{n}", email_id) for n, email_id in enumerate(email_ids("proof", 3))]
BEFORE, AFTER = Stored(7, 7, 0, 7), Stored(10, 10, 0, 10)


def measured(tmp_path: Path, *options: str) -> set[str]:
    """The names of the figures of one short run."""
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "bench", "--events", "200", "--runs", "1", "--seconds", "0.2", "--json", report]
    ended = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    return {figure["name"] for figure in json.loads(report.read_text())["figures"]}


def test_every_usual_measurement_runs_to_its_end_with_all_events_accounted_for(tmp_path: Path) -> None:
    assert {
        "single events, delivered and recorded",
        "batches of 50, delivered and recorded",
        "100 events/s, POST to arrival, p99",
        "growth after 200 events",
        "bare ASGI POST under uvicorn",
        "SQLite, commits of one row",
    } <= measured(tmp_path)


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("isolation", "the healthy endpoint beside two backlogs, single events"),
        pytest.param("log", "10,000 events, GET /api/deliveries, status_code of none", marks=pytest.mark.slow),
        pytest.param("batches500", "batches of 500, delivered and recorded", marks=pytest.mark.slow),
        pytest.param("filters", "one filter, processor time per event", marks=pytest.mark.slow),
        pytest.param("fanout", "to 10 endpoints, deliveries", marks=pytest.mark.slow),
        pytest.param("loaded", "at 80 % of capacity, POST to 200, p99", marks=pytest.mark.slow),
        pytest.param("overload", "POST to 200 under overload, p99", marks=pytest.mark.slow),
        pytest.param("backlog", "2,000 pending, from the start to the first delivery", marks=pytest.mark.slow),
        pytest.param("pages", "throughput with pages open, of that without", marks=pytest.mark.slow),
        pytest.param("workers", "by 3 workers, batches of 50, delivered and recorded", marks=pytest.mark.slow),
        pytest.param("disk", "on the disk, everything", marks=pytest.mark.slow),
    ],
)
def test_every_other_measurement_runs_to_its_end_on_a_small_scale(tmp_path: Path, name: str, figure: str) -> None:
    assert figure in measured(tmp_path, "--scale", "0.002", "--only", name)


def test_every_measurement_is_explained_by_the_help_and_by_the_docs() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    for name in NAMES:
        assert f"  {name} " in explained()
        assert f"`{name}`" in page, name


def test_arrivals_are_given_in_the_order_of_sending() -> None:
    assert arrival_times(LOAD, SENT, ARRIVALS[::-1], BEFORE, AFTER) == [10, 11, 12]


def test_an_event_that_is_owed_to_several_has_arrived_with_the_last_of_them() -> None:
    later = [arrival._replace(at_ns=arrival.at_ns + 5, target="/other") for arrival in ARRIVALS]
    after = Stored(10, 13, 0, 13)
    assert arrival_times(LOAD, SENT, [*later, *ARRIVALS], BEFORE, after, copies=2) == [15, 16, 17]
    with pytest.raises(RunBroken, match="proof: "):
        arrival_times(LOAD, SENT, [*ARRIVALS, *ARRIVALS], BEFORE, after, copies=2)


@pytest.mark.parametrize(
    ("sent", "arrivals", "after"),
    [
        pytest.param(SENT, ARRIVALS[:2], AFTER, id="one-is-lost"),
        pytest.param(SENT, [*ARRIVALS, ARRIVALS[0]], AFTER, id="one-came-twice"),
        pytest.param(SENT, [*ARRIVALS[:2], Arrival(12, "evt_2", "bench-other-2")], AFTER, id="one-is-of-another-run"),
        pytest.param(SENT, ARRIVALS, Stored(10, 9, 1, 10), id="one-is-not-settled"),
        pytest.param(SENT, ARRIVALS, Stored(10, 10, 0, 9), id="one-attempt-is-not-recorded"),
        pytest.param(SENT, ARRIVALS, Stored(10, 10, 0, 11), id="one-was-attempted-twice"),
        pytest.param(SENT._replace(refused={503: 1}), ARRIVALS, AFTER, id="one-was-refused"),
        pytest.param(SENT._replace(failure="the server closed a connection"), ARRIVALS, AFTER, id="one-was-cut-off"),
    ],
)
def test_a_run_that_does_not_add_up_gives_no_figures(sent: Sent, arrivals: list[Arrival], after: Stored) -> None:
    with pytest.raises(RunBroken, match="proof: "):
        arrival_times(LOAD, sent, arrivals, BEFORE, after)


def test_percentiles_are_values_that_were_measured() -> None:
    hundred = [float(n) for n in range(1, 101)]
    assert (percentile(hundred, 50), percentile(hundred, 99), percentile([5.0], 99)) == (50.0, 99.0, 5.0)
