"""A mapping that somebody sent, tried in a process of its own: a few lines of it may ask for hours and gigabytes.

The process (`python -m app.sandbox`) is told on its standard input what to try, answers on its standard output, and
is ended when it takes more than its share. The gateway goes on meanwhile.
"""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from adapters.errors import MappingInvalid
from adapters.mapping import load_mapping
from app.trial import Attempted, Trial, Tried

CPU_S_MAX = 5
WAIT_S_MAX = 15.0
"""Processor time, and time on the wall, since the machine may have better things to do."""
MEMORY_BYTES_MAX = 1024**3
"""Of addresses, of which Python and its libraries take about 200 MB without using them."""
ANSWER_BYTES_MAX = 8 * 1024**2
AT_ONCE_MAX = 2

FILE = "mapping"
"""What the mapping is called in its mistakes."""

_PACKAGES = Path(__file__).parents[1]
_turns = asyncio.Semaphore(AT_ONCE_MAX)


class TrialTooLarge(Exception):
    """The trial took more time or memory than it may, or brought more than can be answered."""


class _Job(msgspec.Struct):
    mapping: str
    attempted: Sequence[Attempted]
    body_bytes_max: int


class _Mistake(msgspec.Struct):
    message: str
    line: int | None
    key: str


class _Answer(msgspec.Struct):
    tried: Sequence[Tried] | None = None
    mistake: _Mistake | None = None


async def try_apart(mapping: str, attempted: Attempted, *, body_bytes_max: int) -> Tried:
    """What the mapping (YAML) makes of the request. Raises `MappingInvalid` and `TrialTooLarge`."""
    return (await try_all_apart(mapping, [attempted], body_bytes_max=body_bytes_max))[0]


async def try_all_apart(mapping: str, attempted: Sequence[Attempted], *, body_bytes_max: int) -> Sequence[Tried]:
    """The same for several requests, which have the time and memory of one together."""
    job = msgspec.json.encode(_Job(mapping, attempted, body_bytes_max))
    async with _turns:
        said = await _run(job)
    try:
        answer = msgspec.json.decode(said, type=_Answer)
    except msgspec.DecodeError as error:
        raise TrialTooLarge(f"it took more than {CPU_S_MAX} s, or too much memory") from error
    if answer.mistake is not None:
        raise MappingInvalid(answer.mistake.message, file=FILE, line=answer.mistake.line, key=answer.mistake.key)
    if answer.tried is None:
        raise TrialTooLarge(f"its result is larger than {ANSWER_BYTES_MAX} bytes")
    return answer.tried


async def _run(job: bytes) -> bytes:
    """What the process said: nothing, when it was ended for taking too much."""
    pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, stdin=pipe, stdout=pipe, stderr=nowhere, cwd=_PACKAGES
    )
    try:
        async with asyncio.timeout(WAIT_S_MAX):
            said, _ = await process.communicate(job)
        return said
    except TimeoutError:
        return b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _within_bounds() -> None:
    with suppress(ImportError):  # there is none on Windows, where the time on the wall must do
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S_MAX, CPU_S_MAX))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))


def _answer(job: _Job) -> bytes:
    try:
        adapter = load_mapping(job.mapping, FILE)
    except MappingInvalid as mistake:
        return msgspec.json.encode(_Answer(mistake=_Mistake(mistake.message, mistake.line, mistake.key)))
    trial = Trial(adapter, body_bytes_max=job.body_bytes_max)
    tried = [trial.read(attempted) for attempted in job.attempted]
    answer = msgspec.json.encode(_Answer(tried=tried))
    return answer if len(answer) <= ANSWER_BYTES_MAX else msgspec.json.encode(_Answer())


if __name__ == "__main__":
    _within_bounds()
    sys.stdout.buffer.write(_answer(msgspec.json.decode(sys.stdin.buffer.read(), type=_Job)))
