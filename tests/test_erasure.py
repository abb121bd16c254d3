import base64
import json
import quopri
import re
from urllib.parse import parse_qs, quote, quote_plus

import pytest

from app.erasure import FORGOTTEN, Eraser

ANN = "Ann+News@Example.com"
RAW_MAIL = f"To: Ann <{ANN}>\r\nSubject: hello\r\n\r\nHello".encode()

eraser = Eraser({"ann+news@example.COM": FORGOTTEN})

WRITTEN = {
    "plain": ANN,
    "in small letters": ANN.lower(),
    "in a sentence": f"550 5.1.1 <{ANN}>: unknown user {ANN}.",
    "in JSON": json.dumps({"to": [ANN], "n": 1}),
    "escaped in JSON": r'{"to": "ann\u002Bnews\u0040example.com"}',
    "between escapes in JSON": rf'{{"to": "Ann \u003c{ANN}\u003e\n{ANN}\n"}}',
    "JSON in JSON": json.dumps({"Message": json.dumps({"to": "ann\\u002bnews@example.com", "quoted": f'"{ANN}"'})}),
    "in a link": f"https://shop.example/?email={quote(ANN, safe='')}&n=1",
    "in a link within a link": f"https://t.example/?to={quote(quote(ANN, safe=''), safe='')}",
    "a form": f"event=bounce&recipient={quote_plus(ANN)}&code=550",
    "JSON in a form": f"events={quote_plus(json.dumps([{'email': ANN}]))}",
    "quoted-printable": quopri.encodestring(f"{'x' * 62} {ANN}".encode()).decode(),
    "HTML": "write to &lt;ann&#43;news&#x40;example.com&gt;",
    "a return path": "bounces+17-ann+news=example.com@em.shop.example",
    "base64": base64.b64encode(ANN.encode()).decode(),
    "base64 at the end of a path": f"https://t.example/click/{base64.urlsafe_b64encode(ANN.encode()).decode().rstrip('=')}",
    "a raw mail in base64": json.dumps({"raw": base64.b64encode(RAW_MAIL).decode()}),
    "base64 in lines": json.dumps({"raw": base64.encodebytes(RAW_MAIL * 3).decode()}),
    "base64 in lines of mail": base64.encodebytes(b"x" * 50 + RAW_MAIL).decode().replace("\n", "\r\n"),
    "base64 in a form": f"body={quote_plus(base64.b64encode(RAW_MAIL))}",
    "a mail within a mail": json.dumps({"raw": base64.b64encode(base64.encodebytes(RAW_MAIL * 2)).decode()}),
}


def opened(text: str, layers: int = 2) -> str:
    """In small letters, with what is in it in base64, and what is in that."""
    joined = text.replace("\\n", "").replace("\r\n", "").replace("\n", "")
    words = re.findall(r"[\w+-]{12,}", joined) + re.findall(r"[\w+/-]{12,}", joined)
    inner = [decoded for word in words if (decoded := _decoded(word))]
    return text.lower() + "".join(opened(decoded, layers - 1) for decoded in inner if layers)


def _decoded(word: str) -> str | None:
    try:
        return base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_").decode("latin-1")
    except ValueError:
        return None


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_the_address_goes_however_it_is_written(written: str) -> None:
    assert eraser.finds(written.encode())
    erased = eraser.erase_text(written)
    assert FORGOTTEN in opened(erased)
    assert "example.com" not in opened(erased)
    assert "news" not in opened(erased)
    assert not eraser.finds(erased.encode())


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_another_address_stays_to_the_letter(written: str) -> None:
    assert Eraser({"bob@example.com": FORGOTTEN}).erase_text(written) is not None
    assert Eraser({"bob@example.com": FORGOTTEN}).erase(written.encode()) == written.encode()


@pytest.mark.parametrize(
    "longer",
    [
        "joann+news@example.com",
        "jo.ann+news@example.com",
        "jo-ann+news@example.com",
        "ann+news@example.com.br",
        "ann+news@example.community",
        "ann+news@example-com",
        "jo%2Eann%2Bnews%40example.com",
        r"jo\u002eann+news@example.com",
        "Ann@example.com",
        "news@example.com",
        "jörgann+news@example.com",
    ],
)
def test_a_longer_or_other_address_is_not_touched(longer: str) -> None:
    assert eraser.erase_text(longer) == longer


def test_json_stays_json_and_a_form_stays_a_form() -> None:
    assert json.loads(eraser.erase_text(WRITTEN["in JSON"])) == {"to": [FORGOTTEN], "n": 1}
    assert parse_qs(eraser.erase_text(WRITTEN["a form"])) == {
        "event": ["bounce"],
        "recipient": [FORGOTTEN],
        "code": ["550"],
    }
    mail = base64.b64decode(json.loads(eraser.erase_text(WRITTEN["a raw mail in base64"]))["raw"])
    assert mail == RAW_MAIL.replace(ANN.encode(), FORGOTTEN.encode())


def test_international_addresses_go_in_both_spellings() -> None:
    jörg = Eraser({"jörg@müller.example": FORGOTTEN})
    for written in (
        "JÖRG@MÜLLER.example",
        "jörg@xn--mller-kva.example",
        quote("jörg@müller.example"),
        r"j\u00f6rg@m\u00fcller.example",
    ):
        assert jörg.erase_text(f"<{written}>") == f"<{FORGOTTEN}>", written
    assert Eraser({"jörg@xn--mller-kva.example": FORGOTTEN}).finds("jörg@müller.example".encode())


def test_bytes_that_are_no_text_stay() -> None:
    assert eraser.erase(b"\xff\x00" + ANN.encode() + b"\x00") == b"\xff\x00" + FORGOTTEN.encode() + b"\x00"


def test_short_addresses_are_found_as_well() -> None:
    short = Eraser({"a@b.c": FORGOTTEN})
    assert short.erase_text('{"to": "A@b.C"}') == '{"to": "(forgotten)"}'
    assert short.finds(base64.b64encode(b"to a@b.c, now"))
