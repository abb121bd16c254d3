"""The machine that the gateway runs on: folders, keys, mappings, the public address, the port and who answers there."""

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from adapters.catalog import Catalog
from adapters.errors import MappingInvalid
from app import __version__
from app.cli.doctor.findings import Finding, ok, warning, wrong
from app.settings import Settings, usable_cores
from app.vault import KEY_FILE

DISK_BYTES_MIN, DISK_BYTES_ENOUGH = 200 * 1024**2, 2 * 1024**3
ANSWER_WITHIN_S = 5.0
_MODE_OF_SECRETS = 0o600
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not to listen on


def look_at_machine(settings: Settings, database_folder: Path | None) -> Iterator[Finding]:
    """Everything; `database_folder` is where the SQLite file is, None for PostgreSQL."""
    yield _folder("data folder", settings.data_dir, "MAILWEIR_DATA_DIR")
    if database_folder is not None:
        if database_folder.resolve() != settings.data_dir.resolve():
            yield _folder("database folder", database_folder, "MAILWEIR_DATABASE_URL")
        yield _disk(database_folder)
    yield _secret_key(settings)
    yield _mappings(settings.mappings_dir)
    yield _workers(settings.worker_count)
    yield _public_url(settings)
    yield _port(settings)


def _folder(check: str, folder: Path, setting: str) -> Finding:
    place = folder.resolve()
    if not folder.exists():
        above = _existing(folder)
        if os.access(above, os.W_OK | os.X_OK):
            return ok(check, f"{place} is not there yet; the first start makes it.")
        return wrong(check, f"{place} is not there, and cannot be made in {above}.", f"make it, or change {setting}")
    if not os.access(folder, os.W_OK | os.X_OK):
        return wrong(
            check, f"{place} may not be written to by this user.", f"chown it to this user, or change {setting}"
        )
    return ok(check, f"{place} can be written to.")


def _existing(folder: Path) -> Path:
    return next(above for above in folder.resolve().parents if above.exists())


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder if folder.exists() else _existing(folder)).free
    says = f"{free / 1024**3:.1f} GiB are free on the disk of the database."
    mend = "give it space, or keep less: MAILWEIR_RETENTION_DAYS, mailweir prune"
    if free < DISK_BYTES_MIN:
        return wrong("disk", says, mend)
    return ok("disk", says) if free >= DISK_BYTES_ENOUGH else warning("disk", says, mend)


def _secret_key(settings: Settings) -> Finding:
    if settings.secret_key.strip():
        return ok("secret key", "MAILWEIR_SECRET_KEY is set.")
    path = settings.data_dir / KEY_FILE
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return ok("secret key", f"{path} is not there yet; the first start makes it.")
    except OSError as error:
        return wrong("secret key", f"{path} cannot be looked at ({error.strerror}).", "check MAILWEIR_DATA_DIR")
    if not os.access(path, os.R_OK):
        return wrong("secret key", f"{path} may not be read by this user.", f"chown it to this user: {path}")
    if mode & _OTHERS:
        return wrong("secret key", f"Others may read {path} (mode {mode:04o}).", f"chmod {_MODE_OF_SECRETS:o} {path}")
    return ok("secret key", f"{path} is this user's alone.")


def _mappings(folder: Path | None) -> Finding:
    try:
        adapters = Catalog.load(folder).all()
    except (MappingInvalid, OSError) as mistake:
        return wrong("mappings", f"{mistake}", "mailweir mappings check, and MAILWEIR_MAPPINGS_DIR")
    where = "" if folder is None else f", those in {folder} included"
    return ok("mappings", f"{len(adapters)} providers can be read{where}.")


def _workers(number: int) -> Finding:
    cores = usable_cores()
    says = f"{number} processes share the work" if number > 1 else "One process does everything"
    says += f", on {cores} {'core' if cores == 1 else 'cores'}."
    if number > max(2, cores):
        return warning("workers", says, "fewer take less memory and do as much: MAILWEIR_WORKERS")
    return ok("workers", says)


def _public_url(settings: Settings) -> Finding:
    check, mend = "public URL", "set MAILWEIR_PUBLIC_URL to the https address that providers can reach"
    if not settings.public_url:
        return warning(check, f"None is set: providers would be told to post to {settings.base_url}.", mend)
    url = urlsplit(settings.base_url)
    if url.scheme not in ("http", "https") or not url.hostname:
        return wrong(check, f"{settings.public_url} is no URL.", mend)
    if _is_private(url.hostname):
        return warning(check, f"{settings.base_url} cannot be reached by a provider.", mend)
    if url.scheme == "http":
        return warning(
            check, f"{settings.base_url} is not https: who is on the way reads and changes mail events.", mend
        )
    if url.path or url.query:
        return warning(check, f"{settings.base_url} has a path; the proxy before it has to take it away.", mend)
    return ok(check, f"Providers post to {settings.base_url}.")


def _is_private(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal")) or "." not in host


def _port(settings: Settings) -> Finding:
    host = _EVERYWHERE.get(settings.host, settings.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    try:
        answer = httpx.get(f"{url}/ready", timeout=ANSWER_WITHIN_S, trust_env=False)
        version = answer.json().get("version")
    except httpx.ConnectError:
        return _free_port(settings, url)
    except (httpx.HTTPError, ValueError, AttributeError) as error:
        return _stranger(settings, f"{url} is taken by something that is no Mailweir ({type(error).__name__}).")
    if answer.status_code == 503:
        mend = "look into its log, and at the findings about the database"
        return wrong("gateway", f"A gateway answers at {url}, and cannot commit.", mend)
    if version is None:
        return _stranger(settings, f"{url} is taken by something that is no Mailweir.")
    if version != __version__:
        mend = "start the gateway anew after an upgrade"
        return warning("gateway", f"The gateway at {url} is version {version}, this is {__version__}.", mend)
    return ok("gateway", f"A gateway answers at {url}, and can commit.")


def _stranger(settings: Settings, says: str) -> Finding:
    return wrong("gateway", says, f"end it, or take another port than {settings.port}: MAILWEIR_PORT")


def _free_port(settings: Settings, url: str) -> Finding:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        mend = "MAILWEIR_HOST, MAILWEIR_PORT"
        return wrong("gateway", f"{settings.host}:{settings.port} cannot be listened on ({error.strerror}).", mend)
    return warning("gateway", f"No gateway runs at {url}; the port is free.", "mailweir serve")
