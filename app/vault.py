"""The vault: what providers and subscribers share with us is sealed before it reaches the database.

A sealed value is a Fernet token (AES-128-CBC with HMAC-SHA256, https://github.com/fernet/spec) of its JSON. Each key of
the setting, whatever its length, becomes a Fernet key through HKDF-SHA256. The first key seals, all of them open. To
rotate, put the new key in front and restart: the start seals what is stored anew, `mailweir reseal` the rest, and the
old key may go. Where several nodes run, first add the new key at the end everywhere, so that each can open what others
seal.
"""

import base64
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.settings import Settings

KEY_FILE = "secret.key"
KEY_BYTES = 32
_PURPOSE = b"mailweir vault 1"


class VaultError(Exception):
    """A stored secret cannot be opened, or there is no key to do it with; the message names the setting."""


class Vault:
    """Seals and opens JSON values; `keys` are texts, the newest first."""

    def __init__(self, keys: Sequence[str]) -> None:
        usable = [key.strip() for key in keys if key.strip()]
        if not usable:
            raise VaultError("MAILWEIR_SECRET_KEY holds no key; leave it unset and one is made in the data folder")
        fernets = [Fernet(_fernet_key(key)) for key in usable]
        self._newest = fernets[0]
        self._fernet = MultiFernet(fernets)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The vault of the setting's keys, or of the key in the data folder, which is made where there is none."""
        return cls(settings.secret_key.split(",") if settings.secret_key.strip() else [_kept_key(settings.data_dir)])

    def seal(self, value: Any) -> bytes:
        """`value` (whatever JSON can hold) as an opaque token; two seals of one value differ."""
        return self._fernet.encrypt(msgspec.json.encode(value))

    def open(self, sealed: bytes) -> Any:
        """What was sealed. Raises VaultError when none of the keys fits, or the token was changed."""
        try:
            return msgspec.json.decode(self._fernet.decrypt(sealed))
        except InvalidToken as error:
            raise _no_key_fits() from error

    def reseal(self, sealed: bytes) -> bytes:
        """The same value sealed by the newest key; `sealed` itself when it is so already. Raises as `open` does."""
        if self._is_newest(sealed):
            return sealed
        try:
            return self._fernet.rotate(sealed)
        except InvalidToken as error:
            raise _no_key_fits() from error

    def _is_newest(self, sealed: bytes) -> bool:
        try:
            self._newest.decrypt(sealed)
        except InvalidToken:
            return False
        return True


def is_sealed(text: str) -> bool:
    """Whether the text looks like a sealed value: tokens begin with a version, 0x80, and the zeros of their time."""
    return text.startswith("gAAAAA")


def _no_key_fits() -> VaultError:
    return VaultError(
        "A stored secret was sealed with another key: MAILWEIR_SECRET_KEY (or secret.key in MAILWEIR_DATA_DIR) must "
        "hold the key it was sealed with, on every node the same"
    )


def _fernet_key(key: str) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=_PURPOSE).derive(key.encode())
    return base64.urlsafe_b64encode(derived)


def _kept_key(data_dir: Path) -> str:
    path = data_dir / KEY_FILE
    try:
        if not path.exists():
            data_dir.mkdir(parents=True, exist_ok=True)
            _keep(path, secrets.token_urlsafe(KEY_BYTES))
        return path.read_text().strip()
    except OSError as error:
        raise VaultError(f"{path} cannot be used ({error.strerror}); check MAILWEIR_DATA_DIR") from error


def _keep(path: Path, key: str) -> None:
    """Writes the key durably under its name at once; of two processes that do, the first wins and both read its key."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
        if not path.exists():
            _name(draft, path)
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def _name(draft: Path, path: Path) -> None:
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
