"""The mappings in force: those that are shipped, and the user's files, which are followed while the gateway runs.

Strategy: once a second the folder is looked at (time, size and number of each file). A file that has changed, and
looks the same a second later, is read in a thread. When it is sound it is put in force, in a new catalog; when not,
what was in force stays, and the mistake is kept to be shown.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import structlog

from adapters.adapter import Adapter
from adapters.catalog import Catalog, is_mapping_file, load_file
from adapters.errors import AdapterError, MappingInvalid

log = structlog.get_logger()

LOOK_INTERVAL_S = 1.0

_SAMPLED_AT = 1_772_525_700
_SAMPLED_RECIPIENT = "ann@example.com"

Stamp = tuple[int, int, int]
"""What changes when a file does."""


class Look(NamedTuple):
    """What one look at the folder found."""

    stamps: Mapping[str, Stamp]
    sound: Mapping[str, Adapter]
    broken: Mapping[str, MappingInvalid]
    gone: frozenset[str]


class MappingFiles:
    """The catalog in force, kept up to date once it is told to `follow` the folder."""

    def __init__(self, folder: Path | None) -> None:
        """Loads everything. Raises `MappingInvalid`: at the start nothing is in force that could stay."""
        self._folder = folder
        self._shipped = Catalog.load()
        self._seen = self._taken = {} if folder is None else _stamps_at_start(folder)
        self._own = {} if folder is None else {name: sound_adapter(folder / name) for name in sorted(self._taken)}
        self._following: asyncio.Task[None] | None = None
        self.catalog = self._shipped.extended(self._own.values())
        self.broken: dict[str, MappingInvalid] = {}
        """By provider, why its file is not in force now; an older one, or the shipped mapping, may be."""

    def follow(self, put_in_force: Callable[[Catalog], None]) -> None:
        """Begins to look at the folder; `put_in_force` is handed each new catalog."""
        if self._folder is not None:
            self._following = asyncio.create_task(self._follow(self._folder, put_in_force), name="mapping-files")

    async def close(self) -> None:
        """Looks no more."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following

    async def _follow(self, folder: Path, put_in_force: Callable[[Catalog], None]) -> None:
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            look = await asyncio.to_thread(self._look, folder)
            if look is not None and self._take(look):
                put_in_force(self.catalog)

    def _look(self, folder: Path) -> Look | None:
        """What has changed; None while the folder cannot be read, which takes no mapping out of force."""
        try:
            stamps = _stamps(folder)
        except OSError:
            return None
        settled = [name for name, stamp in stamps.items() if self._seen.get(name) == stamp != self._taken.get(name)]
        sound: dict[str, Adapter] = {}
        broken: dict[str, MappingInvalid] = {}
        for name in settled:
            try:
                sound[name] = sound_adapter(folder / name)
            except MappingInvalid as mistake:
                broken[name] = mistake
        return Look(stamps, sound, broken, frozenset(self._taken.keys() - stamps.keys() - self._seen.keys()))

    def _take(self, look: Look) -> bool:
        """Whether there is something new in force now."""
        taken = {name: look.stamps[name] for name in (*look.sound, *look.broken)}
        # What is gone may have stood in the way of a file of the same name with the other ending.
        left = {Path(name).stem for name in look.gone}
        self._taken = {name: stamp for name, stamp in {**self._taken, **taken}.items() if Path(name).stem not in left}
        self._seen = look.stamps
        for name in look.sound:
            log.info("mapping.in_force", file=name)
        for name in look.gone:
            log.info("mapping.removed", file=name)
        for name in (*look.sound, *look.gone):
            self.broken.pop(Path(name).stem, None)
        for name, mistake in look.broken.items():
            self.broken[Path(name).stem] = mistake
            log.error("mapping.broken", file=name, error=str(mistake))
        if not look.sound and not look.gone:
            return False
        self._own = {name: adapter for name, adapter in {**self._own, **look.sound}.items() if name not in look.gone}
        self.catalog = self._shipped.extended(self._own.values())
        return True


def sound_adapter(path: Path) -> Adapter:
    """The adapter that a file declares, which also reads its own samples. Raises `MappingInvalid`."""
    adapter = load_file(path)
    if mistakes := mistakes_in_samples(adapter, str(path)):
        raise mistakes[0]
    return adapter


def mistakes_in_samples(adapter: Adapter, file: str) -> list[MappingInvalid]:
    """The samples that a mapping cannot read itself."""
    return [
        MappingInvalid(f"cannot be read: {reason}", file=file, key=f"samples.events.{sample}")
        for sample in adapter.samples
        for reason in _unreadable(adapter, sample)
    ]


def _unreadable(adapter: Adapter, sample: str) -> list[str]:
    try:
        request = adapter.sample_request(
            [sample], signing={}, url="", at=_SAMPLED_AT, recipient=_SAMPLED_RECIPIENT, unique=lambda: "0001"
        )
        reading = adapter.read(request, None, None, _SAMPLED_AT * 1000)
    except (AdapterError, ValueError, TypeError, AttributeError) as fault:  # it has not the form that `samples` says
        return [str(fault)]
    return [item.reason for item in reading.quarantined]


def _stamps_at_start(folder: Path) -> dict[str, Stamp]:
    try:
        return _stamps(folder)
    except OSError as error:
        raise MappingInvalid(f"is not a folder that can be read ({error.strerror})", file=str(folder)) from error


def _stamps(folder: Path) -> dict[str, Stamp]:
    """Raises OSError when the folder cannot be read."""
    found: dict[str, Stamp] = {}
    for path in folder.iterdir():
        if is_mapping_file(path):
            with suppress(FileNotFoundError):
                stat = path.stat()
                found[path.name] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return found
