"""How rules judge, and what they say."""

import pytest

from app.watching import KINDS, Judgement, Limits, Observed, percent, rule_sentence, span


def judged(kind: str, observed: Observed, **limits: float) -> Judgement:
    """By the kind's own limits, or others."""
    own = KINDS[kind].limits
    chosen = Limits(
        threshold=limits.get("threshold", own.threshold),
        window_s=int(limits.get("window_s", own.window_s)),
        min_count=int(limits.get("min_count", own.min_count)),
    )
    return KINDS[kind].judge(observed, chosen, "prod")


def counts(**by_name: int) -> Observed:
    return Observed(counts={name.replace("__", "."): count for name, count in by_name.items()})


def test_an_endpoint_that_fails_half_the_time_is_news() -> None:
    judgement = judged("failure_rate", counts(attempt__delivered=10, attempt__5xx=8, attempt__timeout=4))
    assert judgement.fires
    assert judgement.numbers == {"value": 0.545455, "threshold": 0.5, "count": 22, "window_s": 900}
    assert judgement.summary == "Of 22 attempts at prod in the last 15 min, 54.5 % failed; the threshold is 50 %."


def test_a_few_failures_are_no_news() -> None:
    judgement = judged("failure_rate", counts(attempt__5xx=5))
    assert (judgement.fires, judgement.clears) == (False, False)


def test_an_alert_does_not_come_and_go_at_the_threshold() -> None:
    assert judged("failure_rate", counts(attempt__delivered=55, attempt__5xx=45)).clears is False
    assert judged("failure_rate", counts(attempt__delivered=65, attempt__5xx=35)).clears is True


def test_where_nothing_happened_nothing_is_wrong() -> None:
    for kind in KINDS:
        judgement = judged(kind, Observed())
        assert judgement.fires is False
        assert judgement.summary.endswith(".")


def test_bounces_and_complaints_are_judged_by_the_messages() -> None:
    seen = counts(event__email__delivered=2_900, event__email__bounced=200, event__email__complaint=4)
    bounces, complaints = judged("bounce_rate", seen), judged("complaint_rate", seen)
    assert (bounces.fires, complaints.fires) == (True, True)
    assert bounces.summary == "Of 3100 messages of prod in the last 24 h, 6.45 % bounced; the threshold is 5 %."
    assert complaints.value == pytest.approx(4 / 3_100, abs=1e-6)


@pytest.mark.parametrize("kind", ["rejected", "quarantined"])
def test_requests_are_judged_by_their_number(kind: str) -> None:
    few, many = (judged(kind, Observed(counts={f"receipt.{kind}": count}), threshold=10) for count in (7, 10))
    assert (few.fires, few.clears, many.fires) == (False, True, True)
    assert many.summary.startswith("10 requests to prod in the last ")


def test_a_backlog_is_judged_by_its_age() -> None:
    assert judged("backlog_age", Observed(due_for_s=901)).fires
    assert judged("backlog_age", Observed(due_for_s=800)).clears is False
    assert judged("backlog_age", Observed()).summary == "Nothing that is due to prod waits any more."


def test_silence_is_judged_by_the_habit() -> None:
    hours = 3_600
    known = {"active_times": 500, "usual_pause_s": 3 * hours}
    assert not judged("source_silent", Observed(silent_for_s=5 * hours, **known)).fires
    fired = judged("source_silent", Observed(silent_for_s=6 * hours, **known))
    assert fired.fires
    assert fired.summary == "Nothing has come from prod for 6 h; it usually pauses for 3 h at most."
    assert fired.numbers == {"value": 21_600, "threshold": 21_600, "habit_s": 10_800}
    assert judged("source_silent", Observed(silent_for_s=60, **known)).clears


def test_a_source_without_a_habit_is_never_silent() -> None:
    assert not judged("source_silent", Observed(silent_for_s=1e6, active_times=500)).fires
    assert not judged("source_silent", Observed(silent_for_s=1e6, usual_pause_s=0, active_times=3)).fires
    assert judged("source_silent", Observed()).clears is False


@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_is_a_sentence(kind: str) -> None:
    sentence = rule_sentence(kind, KINDS[kind].limits, "every one")
    assert sentence[0].isupper() or sentence[0].isdigit()
    assert sentence.endswith(".")
    assert "{" not in sentence
    assert "every one" in sentence


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1 s"), (90, "90 s"), (60, "1 min"), (900, "15 min"), (3_600, "1 h"), (86_400, "24 h"), (259_200, "3 days")],
)
def test_lengths_of_time_are_told_in_fitting_units(seconds: int, text: str) -> None:
    assert span(seconds) == text


def test_shares_are_told_in_percent() -> None:
    assert [percent(share) for share in (0.5, 0.0645, 0.001, 1)] == ["50 %", "6.45 %", "0.1 %", "100 %"]
