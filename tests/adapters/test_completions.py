"""What blocks hold beyond what the provider says: one model of bounces, and of machines, for all providers."""

import pytest

from adapters.adapter import Adapter
from adapters.agents import AGENT_MARKS, MACHINE_REASONS
from adapters.events import Bounce, Client
from adapters.mapping import load_mapping
from tests.adapters.native_fixtures import read

ACME = """\
provider: acme
verify: none
native_type: kind
fields: {recipient: to, timestamp: at}
types:
  bounce:
    type: email.bounced
    fields:
      bounce: {class: class, enhanced_code: status, diagnostic: said, permanent: final, suppress_recommended: advice}
  open:
    type: email.open
    fields:
      client: {user_agent: agent, bot: robot, machine: machine, machine_reason: because}
"""
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"


@pytest.fixture(scope="module")
def acme() -> Adapter:
    return load_mapping(ACME, "acme.yaml")


def bounce(adapter: Adapter, **fields: object) -> Bounce:
    item = {"kind": "bounce", "to": "ann@example.net", "at": 1767225600, **fields}
    found = read(adapter, item).events[0].data.bounce
    assert isinstance(found, Bounce)
    return found


def client(adapter: Adapter, **fields: object) -> Client:
    item = {"kind": "open", "to": "ann@example.net", "at": 1767225600, **fields}
    found = read(adapter, item).events[0].data.client
    assert isinstance(found, Client)
    return found


@pytest.mark.parametrize(
    ("class_", "status", "permanent", "suppress"),
    [
        ("hard", "5.1.1", True, True),
        ("hard", None, True, True),
        ("hard", "4.4.7", True, True),
        ("suppressed", None, True, True),
        ("soft", "4.2.2", False, False),
        ("soft", "5.2.2", False, False),
        ("block", "5.7.1", False, False),
        ("hard", "5.7.1", False, False),
        ("suppressed", "5.7.1", True, True),
        ("unknown", "5.7.26", False, False),
        ("unknown", None, False, False),
        ("unknown", "4.4.1", False, False),
        ("unknown", "5.1.1", True, False),
        (None, "5.0.0", True, False),
    ],
)
def test_class_and_code_tell_whether_a_bounce_is_for_ever(
    acme: Adapter, class_: str | None, status: str | None, permanent: bool, suppress: bool
) -> None:
    found = bounce(acme, **{"class": class_, "status": status})
    assert (found.permanent, found.suppress_recommended) == (permanent, suppress)


def test_a_code_in_the_text_of_the_reply_counts_like_one_given_apart(acme: Adapter) -> None:
    found = bounce(acme, said="550 5.1.1 No such user here")
    assert (found.smtp_code, found.enhanced_code, found.permanent) == (550, "5.1.1", True)


@pytest.mark.parametrize("class_", ["hard", "soft", "block", "suppressed", "unknown"])
def test_what_the_provider_says_stands(acme: Adapter, class_: str) -> None:
    for permanent in (True, False):
        said = bounce(acme, **{"class": class_, "status": "5.1.1", "final": permanent})
        assert said.permanent is permanent
        for advice in (True, False):
            advised = bounce(acme, **{"class": class_, "final": permanent, "advice": advice})
            assert advised.suppress_recommended is advice


@pytest.mark.parametrize(
    ("class_", "status", "final", "found"),
    [
        ("hard", "5.7.1", None, "block"),
        ("hard", "5.7.606", False, "block"),
        ("hard", "5.7.1", True, "hard"),
        ("hard", "4.7.1", None, "hard"),
        ("hard", "5.1.1", None, "hard"),
        ("soft", "5.7.1", None, "soft"),
        ("unknown", "5.7.1", None, "unknown"),
    ],
)
def test_a_refusal_by_policy_is_no_hard_bounce_unless_the_provider_says_so(
    acme: Adapter, class_: str, status: str, final: bool | None, found: str
) -> None:
    assert bounce(acme, **{"class": class_, "status": status, "final": final}).class_ == found


def test_a_hard_bounce_that_is_not_permanent_suppresses_nobody(acme: Adapter) -> None:
    assert bounce(acme, **{"class": "hard", "final": False}).suppress_recommended is False


@pytest.mark.parametrize(
    ("agent", "machine", "reason"),
    [
        (CHROME, None, None),
        ("Mozilla/5.0", None, None),
        ("Mozilla/5.0 (Linux; Android 13; CUBOT X70) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36", None, None),
        ("Outlook-iOS/2.0", None, None),
        ("Mozilla/5.0 (Windows NT 5.1) Firefox/11.0 (via ggpht.com GoogleImageProxy)", None, "image_proxy"),
        ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", None, "image_proxy"),
        ("Mozilla/5.0 (compatible; Barracuda Sentinel (EE))", True, "scanner"),
        ("ProofPoint URL Defense", True, "scanner"),
        ("Mimecast", True, "scanner"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True, "bot"),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", True, "bot"),
        ("facebookexternalhit/1.1", True, "bot"),
        ("python-requests/2.32.3", True, "bot"),
        ("curl/8.5.0", True, "bot"),
        ("", None, None),
    ],
)
def test_programs_that_name_themselves_are_known(
    acme: Adapter, agent: str, machine: bool | None, reason: str | None
) -> None:
    found = client(acme, agent=agent, robot="x")
    assert (found.machine, found.machine_reason) == (machine, reason)


def test_a_provider_that_says_it_was_a_person_is_believed(acme: Adapter) -> None:
    found = client(acme, agent="Mimecast", machine=False)
    assert (found.machine, found.machine_reason) == (False, None)


def test_a_provider_that_gives_the_reason_is_believed(acme: Adapter) -> None:
    found = client(acme, agent="Mimecast", machine=True, because="privacy_proxy")
    assert (found.machine, found.machine_reason) == (True, "privacy_proxy")


def test_a_machine_without_a_reason_gets_the_one_that_can_be_told(acme: Adapter) -> None:
    assert client(acme, agent="Mimecast", machine=True).machine_reason == "scanner"
    assert client(acme, agent=CHROME, machine=True, robot="apple").machine_reason == "bot"
    assert client(acme, agent=CHROME, machine=True).machine_reason is None


def test_an_agent_of_any_length_is_looked_at_no_further_than_its_beginning(acme: Adapter) -> None:
    assert client(acme, agent="-" * 1_000_000 + "bot").machine is None


def test_every_mark_can_be_found_and_leads_to_a_reason_with_a_meaning() -> None:
    for kind, marks in AGENT_MARKS:
        assert kind in MACHINE_REASONS
        assert all(mark == mark.lower() for mark in marks)
