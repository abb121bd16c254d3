"""The form of an alert rule: in which words and units each kind is asked for. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from app.store.rollups import SOURCE
from app.watching import BACKLOG, KINDS, SILENCE, Limits, rule_sentence
from app.web.alerts import WINDOW_S_MAX, Alert
from app.web.problems import FieldError, invalid

MINUTE_S = 60
_NO_NUMBER = "must be a number."
SETTINGS, NOBODY, THESE = "settings", "nobody", "these"
"""Who gets a mail: those in the operator's settings, nobody, or those of the rule."""


class KindForm(NamedTuple):
    """One kind; the number in the form, times `unit`, is the rule's threshold."""

    title: str
    threshold: str
    unit: float = 1
    window: str | None = "Within, minutes"
    min_count: str | None = None


KIND_FORMS: dict[str, KindForm] = {
    "failure_rate": KindForm("An endpoint fails", "Failed attempts, %", 0.01, min_count="Of at least, attempts"),
    BACKLOG: KindForm("Deliveries wait", "Due for, minutes", MINUTE_S, window=None),
    "bounce_rate": KindForm("Messages bounce", "Bounced, %", 0.01, min_count="Of at least, messages"),
    "complaint_rate": KindForm("Recipients complain", "Complained of, %", 0.01, min_count="Of at least, messages"),
    "rejected": KindForm("Requests do not verify", "Requests"),
    "quarantined": KindForm("Requests cannot be read", "Requests"),
    SILENCE: KindForm("A source falls silent", "Times its usual pause", window="At least, minutes"),
}


class Example(NamedTuple):
    """A kind to choose, with its rule as it would begin."""

    kind: str
    title: str
    rule: str


def examples() -> list[Example]:
    """Every kind there is."""
    return [
        Example(kind, form.title, rule_sentence(kind, KINDS[kind].limits, whom(kind)))
        for kind, form in KIND_FORMS.items()
    ]


def whom(kind: str) -> str:
    """Whom a rule is about that names nobody."""
    return "a source" if KINDS[kind].of == SOURCE else "an endpoint"


def begun(kind: str) -> dict[str, str]:
    """The fields of a form for a new rule of that kind."""
    return {"name": KIND_FORMS[kind].title, "mail": SETTINGS, "active": "yes", **_numbers(kind, KINDS[kind].limits)}


def filled(alert: Alert) -> dict[str, str]:
    """The fields of a form for a rule that there is."""
    limits = Limits(alert.threshold, alert.window_s, alert.min_count)
    mail = SETTINGS if alert.mail_to is None else THESE if alert.mail_to else NOBODY
    return {
        "name": alert.name,
        "mail": mail,
        "addresses": ", ".join(alert.mail_to or ()),
        "active": "yes" if alert.active else "",
        **_numbers(alert.kind, limits),
    }


def wanted(kind: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """What the fields ask for, in the words of the API. Raises Problem 422 for what is no number."""
    form = KIND_FORMS[kind]
    asked: dict[str, Any] = {
        "name": fields.get("name", "").strip(),
        "threshold": round(_number(fields, "threshold") * form.unit, 9),
        "active": fields.get("active") == "yes",
    }
    if form.window:
        asked["window_s"] = round(_number(fields, "window_s") * MINUTE_S)
    if form.min_count:
        asked["min_count"] = round(_number(fields, "min_count"))
    if "mail" in fields:
        asked["mail_to"] = _mail_to(fields)
    return asked


def about(kind: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """The one source or endpoint that a new rule is about; nothing where it is about all."""
    name = "source" if KINDS[kind].of == SOURCE else "endpoint_id"
    text = fields.get(name, "").strip()
    if not text:
        return {}
    return {name: int(text) if name == "endpoint_id" and text.isdecimal() else text}


def in_words_of_the_form(kind: str, error: FieldError) -> tuple[str, str]:
    """A complaint of the API as the name of a field of the form and a sentence in its unit."""
    if error.field.startswith("mail_to"):
        return "addresses", error.message
    if error.message == _NO_NUMBER:
        return error.field, error.message
    if error.field == "threshold":
        return (
            "threshold",
            f"must be more than 0, and {KINDS[kind].threshold_max / KIND_FORMS[kind].unit:,.0f} at most.",
        )
    if error.field == "window_s":
        return "window_s", f"must be from 1 to {WINDOW_S_MAX // MINUTE_S} minutes."
    return error.field, error.message


def _numbers(kind: str, limits: Limits) -> dict[str, str]:
    return {
        "threshold": f"{limits.threshold / KIND_FORMS[kind].unit:.10g}",
        "window_s": f"{limits.window_s / MINUTE_S:.10g}",
        "min_count": str(limits.min_count),
    }


def _number(fields: Mapping[str, str], name: str) -> float:
    """A finite number of a sensible size; its comma may be a point."""
    try:
        number = float(fields.get(name, "").strip().replace(",", "."))
    except ValueError:
        number = None
    if number is None or not abs(number) < 1e9:
        raise invalid([FieldError(name, _NO_NUMBER)])
    return number


def _mail_to(fields: Mapping[str, str]) -> list[str] | None:
    if fields["mail"] == SETTINGS:
        return None
    given = fields.get("addresses", "").replace(",", " ").replace(";", " ").split()
    if fields["mail"] == THESE and not given:
        raise invalid([FieldError("addresses", "name at least one address, or choose another receiver.")])
    return given if fields["mail"] == THESE else []
