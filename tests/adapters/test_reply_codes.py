import pytest

from adapters.functions.mail import codes_at_start, enhanced_code, smtp_code
from adapters.functions.scope import Scope


@pytest.mark.parametrize(
    ("reply", "codes"),
    [
        ("550 5.1.1 No such user here", (550, "5.1.1")),
        ("250 2.0.0", (250, "2.0.0")),
        ("452 4.2.2\nThe mailbox is full", (452, "4.2.2")),
        ("554 5.7.606 5.7.1 Refused", (554, "5.7.606")),
    ],
)
def test_a_reply_that_begins_with_both_codes_is_read_at_one_look(reply: str, codes: tuple[int, str]) -> None:
    assert codes_at_start(reply) == codes == (smtp_code(Scope(), reply), enhanced_code(Scope(), reply))


@pytest.mark.parametrize(
    "reply",
    ["", "OK", "250 OK", "550-5.1.1 No", "550 4.1.1 No", "550 5.1.1.2 No", "550 5.1.1a", "5505.1.1", " 550 5.1.1 No"],
)
def test_any_other_reply_is_searched_for_them(reply: str) -> None:
    assert codes_at_start(reply) is None
