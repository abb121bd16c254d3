"""Simulated provider accounts: the keys with which `mailweir trigger` signs, made once and kept in the data folder."""

import os
import secrets as randomness
from pathlib import Path

import msgspec

from adapters.adapter import Adapter
from app.cli.configuration import settings_in_force
from app.cli.errors import Misconfigured
from app.cli.providers import find_adapter

FOLDER = "trigger"


class Account(msgspec.Struct):
    """What one simulated account shares with the gateway, and what it signs with: the same unless keys are in pairs."""

    secrets: dict[str, str]
    """As they stand under "secrets" when the source is added."""
    signing: dict[str, str]


def simulated_account(provider: str) -> Account:
    """The account of that provider. Raises Misconfigured where there is no such provider or the file is unusable."""
    return account_of(find_adapter(provider))


def account_of(adapter: Adapter) -> Account:
    """The account of that adapter, made now if there is none yet."""
    path = settings_in_force().data_dir / FOLDER / f"{adapter.name}.json"
    try:
        if not path.exists():
            _keep(path, Account(*adapter.verification.generate()))
        return msgspec.json.decode(path.read_bytes(), type=Account)
    except (OSError, msgspec.MsgspecError) as error:
        raise Misconfigured(f"{path} cannot be used: {error}; check MAILWEIR_DATA_DIR, or remove the file") from error


def _keep(path: Path, account: Account) -> None:
    """Writes the file whole under its name; where two processes do, the first wins and both read its keys."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{randomness.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(account) + b"\n")
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
