"""What a source proves its requests with, as a form asks for it: fields by the mapping's own declarations."""

import secrets as randomness
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from adapters.adapter import Adapter
from adapters.options import Option
from adapters.request import NativeRequest

SECRET, OPTION = "secret.", "option."
"""What the names of the fields begin with."""
NAME_HERE, BASIC_HERE, TOKEN_HERE = "NAMEHERE", "BASICHERE", "TOKENHERE"
PASSWORD_BYTES = 24

SECRET_WORDS = {
    "signing_secret": ("Signing secret", "The key with which the provider signs."),
    "public_key": ("Public key", "With it the provider's signature is checked."),
    "basic_auth": ("User and password", "As user:password, which stand in the URL at the provider."),
    "token": ("Token", "A long random text that the provider sends along."),
}


class SecretField(NamedTuple):
    """One secret in a form."""

    name: str
    label: str
    hint: str
    required: bool
    is_long: bool
    """Whether it may have several lines."""


class OptionField(NamedTuple):
    """One option in a form."""

    name: str
    type: str
    meaning: str


class Asked(NamedTuple):
    """What a form asks of a source; what is seldom needed stands apart."""

    first: list[SecretField]
    others: list[SecretField]
    options: list[OptionField]
    options_first: bool


class Told(NamedTuple):
    """What is to be told to the provider, with places for the name, the credentials and the token."""

    url: str
    headers: dict[str, str]

    def filled(self, name: str, secrets: Mapping[str, str]) -> "Told":
        """The same for a source of that name that has these secrets."""
        return Told(
            _filled(self.url, name, secrets),
            {header: _filled(text, name, secrets) for header, text in self.headers.items() if secrets.get("token")},
        )


def asked(adapter: Adapter) -> Asked:
    """The fields for a source of that provider."""
    by_topic = adapter.verification.by_topic
    fields = [_secret(name, required=required) for name, required in adapter.secret_names]
    first = [] if by_topic or not adapter.signs else fields[:1]
    options = [OptionField(*option) for option in adapter.options]
    return Asked(first, fields[len(first) :], options, options_first=by_topic)


def generated(adapter: Adapter) -> dict[str, str]:
    """New credentials, where it is not the provider who chooses them."""
    first = asked(adapter).first
    made = randomness.token_urlsafe(PASSWORD_BYTES)
    if not first or first[0].name not in ("basic_auth", "token"):
        return {}
    return {first[0].name: f"mailweir:{made}" if first[0].name == "basic_auth" else made}


def told(adapter: Adapter, inbound_url: str) -> Told:
    """What to tell the provider: by the mapping's own scheme, which says where a token stands."""
    url = f"{inbound_url}/{NAME_HERE}"
    headers: dict[str, str] = {}
    if any(name == "token" for name, _ in adapter.secret_names):
        request = adapter.verification.sign(
            NativeRequest(url=url, headers={}, body=b""), None, {"token": TOKEN_HERE}, 0
        )
        url, headers = request.url, {name.title(): text for name, text in request.headers.items()}
    parts = urlsplit(url)
    return Told(parts._replace(netloc=f"{BASIC_HERE}@{parts.netloc}").geturl(), headers)


def secrets_in(fields: Mapping[str, str]) -> dict[str, str]:
    """The secrets that a form brought; what was left empty is not among them."""
    given = {name.removeprefix(SECRET): text.strip() for name, text in fields.items() if name.startswith(SECRET)}
    return {name: text for name, text in given.items() if text}


def options_in(fields: Mapping[str, str], adapter: Adapter) -> dict[str, Any]:
    """The options that a form brought, each of its type."""
    return {
        option.name: _option_value(option, text)
        for option in adapter.options
        if (text := fields.get(OPTION + option.name, "").strip())
    }


def field_name(name: str) -> str:
    """The form's name of a field that the API names: "secrets.token" is "secret.token"."""
    return name.replace("secrets.", SECRET, 1).replace("options.", OPTION, 1)


def option_text(value: Any) -> str:
    """An option as its field shows it."""
    if isinstance(value, list):
        return "\n".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType] - texts, or shown as such
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _option_value(option: Option, text: str) -> Any:
    if option.type == "texts":
        return [line.strip() for line in text.splitlines() if line.strip()]
    if option.type == "flag":
        return text == "true"
    if option.type == "number":
        try:
            return float(text) if "." in text else int(text)
        except ValueError:
            return text
    return text


def _secret(name: str, *, required: bool) -> SecretField:
    label, hint = SECRET_WORDS.get(name, (name, ""))
    return SecretField(name, label, hint, required, is_long=name == "public_key")


def _filled(text: str, name: str, secrets: Mapping[str, str]) -> str:
    basic, token = secrets.get("basic_auth", ""), secrets.get("token", "")
    text = text.replace(NAME_HERE, name).replace(f"{BASIC_HERE}@", f"{quote(basic, safe=':')}@" if basic else "")
    if not token and TOKEN_HERE in text:
        return text.partition("?")[0]
    return text.replace(TOKEN_HERE, quote(token, safe="") if "?" in text else token)
