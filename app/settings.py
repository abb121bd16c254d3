"""Every setting, with its unit, default and meaning; the only reader of the environment.

A value comes from the environment (`MAILWEIR_PORT=9000`), else from a line in `mailweir.toml` in the working folder
(`port = 9000`), else from the default. `describe` says which.
"""

import ipaddress
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, NamedTuple, cast
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from adapters.addresses import read_network

PREFIX = "MAILWEIR_"
SECRET_NAMES = frozenset({"api_key", "secret_key"})
API_KEY_CHARACTERS_MIN = 16
WORKERS_UNASKED_MAX = 8
MAIL_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]]{1,64}@[A-Za-z0-9.-]{1,190}")
_PASSWORD_IN_URL = re.compile(r"(://[^:/@\s]*:)[^@\s]*(?=@)")


class SettingsInvalid(Exception):
    """A setting holds what it cannot hold; the message names the setting and says what to change."""


def _setting(default: Any, meaning: str, *, unit: str = "", **bounds: Any) -> Any:
    return Field(default=default, description=meaning, json_schema_extra={"unit": unit}, **bounds)


class Settings(BaseSettings):
    """What an operator may set; field names are the setting's name without the prefix, in lower case."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, toml_file="mailweir.toml")

    database_url: str = _setting(
        "sqlite+aiosqlite:///data/mailweir.db",
        "Where everything is stored: sqlite+aiosqlite:///path, or postgresql+asyncpg://… for any number of nodes.",
    )
    host: str = _setting("127.0.0.1", "The address to listen on.")
    port: int = _setting(8420, "The port to listen on.", ge=1, le=65535)
    workers: int | None = _setting(
        None, "How many processes share the work. Empty: one for each core, eight at most.", ge=1, le=64
    )
    public_url: str = _setting("", "What providers post to; some sign it. Empty: http://HOST:PORT.")
    data_dir: Path = _setting(Path("data"), "The folder of generated files, such as the secret key.")
    api_key: str | None = _setting(None, "Fixes the admin API key instead of generating one.", unit="16+ characters")
    secret_key: str = _setting("", "Encrypts stored secrets; a comma list rotates. Empty: made in the data folder.")
    mappings_dir: Path | None = _setting(None, "A folder of extra or overriding mappings, read after the shipped ones.")
    allow_networks: Annotated[tuple[str, ...], NoDecode] = _setting(
        (), "Private networks that endpoints may live in.", unit="CIDRs, comma-separated"
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = _setting(
        (), "Proxies that say where a request came from.", unit="CIDRs, comma-separated"
    )
    retention_days: float = _setting(
        30.0, "Receipts, events, deliveries and attempts older than this are removed.", unit="days", ge=0.01, le=3650
    )
    smtp_url: str = _setting(
        "", "The server that takes alert mails: smtp://user:password@host:587 (STARTTLS) or smtps://…:465."
    )
    alert_mail_from: str = _setting(
        "", "Whom alert mails come from; needed with the server.", unit="address", validate_default=True
    )
    alert_mail_to: Annotated[tuple[str, ...], NoDecode] = _setting(
        (), "Who gets them, unless a rule says otherwise.", unit="addresses, comma-separated"
    )
    log_format: str = _setting("auto", "console, json or auto.", pattern="^(auto|console|json)$")

    body_bytes_max: int = _setting(5 * 1024 * 1024, "The largest inbound body; above, 413.", unit="bytes", ge=1)
    rejected_body_bytes_max: int = _setting(16_384, "How much of a rejected body is kept.", unit="bytes", ge=0)
    api_body_bytes_max: int = _setting(262_144, "The largest body of an API call.", unit="bytes", ge=1024)
    commit_items_max: int = _setting(2_000, "The most rows one shared commit carries.", ge=1)
    inbound_waiting_max: int = _setting(5_000, "Requests waiting for a commit; more are answered 503.", ge=1)
    inbound_waiting_bytes_max: int = _setting(
        128 * 1024 * 1024, "What requests may hold in memory until they are answered.", unit="bytes", ge=1024
    )
    inbound_wait_s_max: float = _setting(
        3.0, "The longest a new request may expect to wait; beyond it, 503 at once.", unit="seconds", gt=0
    )
    commit_timeout_s: float = _setting(10.0, "How long a request waits for its commit.", unit="seconds", gt=0)

    sending_max: int = _setting(256, "Attempts in flight at once, over all endpoints.", ge=1)
    endpoint_in_flight_max: int = _setting(32, "Attempts in flight at once for one endpoint.", ge=1)
    handed_over_max: int = _setting(2_000, "Deliveries kept in memory for the sender.", ge=1)
    handed_over_bytes_max: int = _setting(
        64 * 1024 * 1024, "What those deliveries may hold in memory, beyond one for each endpoint.", unit="bytes", ge=0
    )
    attempt_timeout_s: float = _setting(15.0, "How long a subscriber may take to answer.", unit="seconds", gt=0, le=120)
    response_bytes_max: int = _setting(16_384, "How much of a subscriber's answer is kept.", unit="bytes", ge=0)
    lease_margin_s: float = _setting(15.0, "How long past its timeout a claim holds.", unit="seconds", gt=0)
    stream_clients_max: int = _setting(100, "How many may follow the live stream at once.", ge=0)
    stream_waiting_max: int = _setting(
        1_000, "Events waiting for one of them to read; a slower reader is dropped.", ge=1
    )
    poll_interval_s: float = _setting(1.0, "How often due work is looked for when no bell rings.", unit="seconds", gt=0)

    @field_validator("allow_networks", mode="before")
    @classmethod
    def _split_networks(cls, value: Any) -> Any:
        return tuple(str(ipaddress.ip_network(word, strict=False)) for word in _words(value))

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split_proxies(cls, value: Any) -> Any:
        return tuple(str(read_network(word)) for word in _words(value))

    @field_validator("alert_mail_to", mode="before")
    @classmethod
    def _split_addresses(cls, value: Any) -> Any:
        return tuple(map(_address, _words(value)))

    @field_validator("alert_mail_from")
    @classmethod
    def _one_address(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.data.get("smtp_url"):
            raise ValueError("MAILWEIR_SMTP_URL needs it: whom the mails come from")
        return _address(value) if value else value

    @field_validator("smtp_url")
    @classmethod
    def _known_server(cls, value: str) -> str:
        url = urlsplit(value)
        if value and not (url.scheme in ("smtp", "smtps") and url.hostname and url.path in ("", "/")):
            raise ValueError("it must look like smtp://user:password@host:587 or smtps://host:465")
        return value

    @field_validator("api_key")
    @classmethod
    def _long_enough(cls, value: str | None) -> str | None:
        if value and len(value) < API_KEY_CHARACTERS_MIN:
            raise ValueError(f"an admin key needs {API_KEY_CHARACTERS_MIN} characters or more")
        return value or None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic-settings'
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic-settings'
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first (tests), then the environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def worker_count(self) -> int:
        """How many processes share the work."""
        return self.workers or min(usable_cores(), WORKERS_UNASKED_MAX)

    @property
    def base_url(self) -> str:
        """The public URL without a trailing slash."""
        return self.public_url.rstrip("/") or f"http://{self.host}:{self.port}"


def usable_cores() -> int:
    """Of this process, which may be told to use fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _words(value: Any) -> list[str]:
    """The parts of a comma list, or of a list in the file."""
    words = cast("list[Any]", value.split(",") if isinstance(value, str) else value)
    return [text for word in words if (text := str(word).strip())]


def _address(text: str) -> str:
    if not MAIL_ADDRESS.fullmatch(text):
        raise ValueError(f"{text!r} is not a mail address")
    return text


def load_settings(**overrides: Any) -> Settings:
    """The settings in force. Raises SettingsInvalid, naming each wrong setting."""
    try:
        return Settings(**overrides)
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise SettingsInvalid(_explain(error)) from error


def _explain(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return f"mailweir.toml cannot be read: {error}"
    return "\n".join(
        f"{PREFIX}{'.'.join(map(str, wrong['loc'])).upper()}: {wrong['msg'].removeprefix('Value error, ')}"
        for wrong in error.errors()
    )


class SettingLine(NamedTuple):
    """One line of `mailweir config`."""

    name: str
    value: str
    origin: str
    unit: str
    meaning: str


def describe(settings: Settings) -> list[SettingLine]:
    """Every setting with its value (secrets hidden), origin (environment, file or default), unit and meaning."""
    in_file = _toml_keys()
    return [
        SettingLine(
            name=PREFIX + name.upper(),
            value=_shown(name, getattr(settings, name)),
            origin=_origin(name, in_file),
            unit=_unit(field),
            meaning=field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def _unit(field: FieldInfo) -> str:
    extra = cast("dict[str, str]", field.json_schema_extra)
    return extra["unit"]


def _origin(name: str, in_file: set[str]) -> str:
    if PREFIX + name.upper() in {key.upper() for key in os.environ}:
        return "environment"
    return "mailweir.toml" if name in in_file else "default"


def _toml_keys() -> set[str]:
    path = Path("mailweir.toml")
    return set(tomllib.loads(path.read_text())) if path.exists() else set()


def _shown(name: str, value: Any) -> str:
    if name in SECRET_NAMES:
        return "(set)" if value else ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return "" if value is None else without_password(str(value))


def without_password(url: str) -> str:
    """The URL with its password as dots; any other text as it is."""
    return _PASSWORD_IN_URL.sub(r"\1•••", url)
