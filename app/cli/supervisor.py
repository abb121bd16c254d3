"""Several workers: starts them, starts them again when they die, and ends them in order. Imports next to nothing.

Strategy: what must outlive a worker is held here and inherited by each: the listening socket, the sockets over which
workers tell each other things, the lock of the SQLite file, the folder in which they count. The delivery worker is the
first to open the database, which it brings up to date; the others wait until it is ready. Each worker is at the other
end of a socket. It ends itself when that closes, so that nobody is left behind when this process is killed; until the
last has gone the port and the lock are taken.
"""

import gc
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic
from types import FrameType

import msgspec
import rich_click as click
import structlog

from app.cli.errors import Misconfigured
from app.place import DELIVERY, DELIVERY_SLOT, INBOUND, Place, Ready, Start
from app.settings import Settings
from app.store.locks import DatabaseInUse, sole_user, sqlite_file

log = structlog.get_logger()

PROJECT = Path(__file__).parents[2]
RESTART_WAITS_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Before a worker is started again that has died so often in a row."""
WELL_AFTER_S = 60.0
"""A worker that has lived so long dies for the first time."""
END_WITHIN_S = 15.0
MESSAGE_BYTES_MAX = 65_536
_ENDING = (signal.SIGTERM, signal.SIGINT)
_RUN = "import sys; sys.path[0] = sys.argv.pop(1); from app.cli.worker import main; main()"


def supervise(settings: Settings, listener: socket.socket) -> int:
    """Serves by several processes until told to end; the exit code. Raises Misconfigured."""
    gc.enable()  # what goes on here makes little, and for a long time
    with ExitStack() as closing:
        locked = _lock(settings, closing)
        counted = closing.enter_context(tempfile.TemporaryDirectory(prefix="mailweir-", ignore_cleanup_errors=True))
        signals = closing.enter_context(_signals())
        team = _Team(settings, listener, locked, counted)
        try:
            return team.run(signals)
        finally:
            team.kill()


def _lock(settings: Settings, closing: ExitStack) -> int | None:
    """The descriptor of the lock that only one gateway has on an SQLite file."""
    database = sqlite_file(settings.database_url)
    if database is None:
        return None
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        return closing.enter_context(sole_user(database))
    except DatabaseInUse as error:
        raise Misconfigured(str(error)) from error
    except OSError as error:
        raise Misconfigured(f"the database cannot be used; check MAILWEIR_DATABASE_URL: {error}") from error


@contextmanager
def _signals() -> Generator[socket.socket]:
    """A socket that can be read when there was a signal: to end, or that a worker has died."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        before = signal.set_wakeup_fd(theirs.fileno())
        handlers = {number: signal.signal(number, _nothing) for number in (*_ENDING, signal.SIGCHLD)}
        try:
            yield ours
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """The number of the signal is in the socket by now."""


class Worker:
    """A place, and the process that has it at the moment."""

    def __init__(self, role: str, slot: int) -> None:
        self.role = role
        self.slot = slot
        self.ears, self.mouth = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.control: socket.socket | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.ready: Ready | None = None
        self.restarts = 0
        self.start_at = 0.0
        self.predecessor: int | None = None
        self._deaths = 0
        self._started_at = monotonic()

    def start(self, place: Start, inherited: Sequence[int]) -> None:
        """Runs a process in this place. Raises OSError when the system gives none."""
        self.control, theirs = socket.socketpair()
        with theirs:
            told = msgspec.structs.replace(place, control=theirs.fileno())
            self.process = subprocess.Popen(  # noqa: S603 - this program once more
                [sys.executable, "-c", _RUN, str(PROJECT), msgspec.json.encode(told).decode()],
                pass_fds=(*inherited, theirs.fileno()),
                start_new_session=True,  # Ctrl+C is for this process, which tells the others in their order
            )
        self._started_at = monotonic()

    def hear(self) -> None:
        """Notes that it is ready, if it says so."""
        with suppress(OSError, msgspec.DecodeError):
            if self.control is not None and (said := self.control.recv(MESSAGE_BYTES_MAX)):
                self.ready = msgspec.json.decode(said, type=Ready)

    def go(self) -> None:
        """Lets it open the database."""
        if self.control is not None:
            with suppress(OSError):
                self.control.send(b"go")

    def terminate(self) -> None:
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        """Ends it at once, if it lives."""
        if self.process is not None:
            self.process.kill()
            self.bury()

    def bury(self) -> int:
        """The exit code of the process, which has ended or is about to; the place is empty then."""
        process, control = self.process, self.control
        self.process = self.control = None
        if control is not None:
            control.close()
        if self.ready is not None:
            self.predecessor = self.ready.node
        self.ready = None
        return process.wait() if process is not None else 0

    def mourn(self) -> float:
        """Seconds until there is to be another; the more the oftener it has died of late."""
        self._deaths = 1 if monotonic() - self._started_at >= WELL_AFTER_S else self._deaths + 1
        wait_s = RESTART_WAITS_S[min(self._deaths, len(RESTART_WAITS_S)) - 1]
        self.restarts += 1
        self.start_at = monotonic() + wait_s
        return wait_s


class _Team:
    """All workers of one gateway."""

    def __init__(self, settings: Settings, listener: socket.socket, locked: int | None, counted: str) -> None:
        self._settings = settings
        self._listener = listener
        self._locked = locked
        self._counted = counted
        slots = range(1, settings.worker_count)
        self._delivery = Worker(DELIVERY, DELIVERY_SLOT)
        self._workers = [self._delivery, *(Worker(INBOUND, slot) for slot in slots)]
        self._banner: str | None = None
        self._has_served = False

    def run(self, signals: socket.socket) -> int:
        """Until told to end, or until the first start has failed; the exit code."""
        while True:
            for worker in self._workers:
                if worker.process is None and worker.start_at <= monotonic():
                    self._start(worker)
            if self._is_told_to_end(signals):
                return self._end(signals)
            for worker in self._workers:
                if worker.process is not None and worker.process.poll() is not None:
                    code = self._bury(worker)
                    if not self._has_served:
                        return code if code > 0 else 1
            self._welcome()

    def kill(self) -> None:
        """Ends whatever still runs."""
        for worker in self._workers:
            worker.kill()

    def _start(self, worker: Worker) -> None:
        place = Place(
            role=worker.role,
            slot=worker.slot,
            workers=len(self._workers),
            restarts=worker.restarts,
            predecessor=worker.predecessor,
            ear=worker.ears.fileno(),
            mouths=tuple(other.mouth.fileno() for other in self._workers),
            shared_folder=self._counted,
        )
        start = Start(
            place=place,
            host=self._settings.host,
            port=self._settings.port,
            listener=self._listener.fileno() if worker.role == INBOUND else None,
        )
        inherited = [place.ear, *place.mouths, start.listener, self._locked]
        try:
            worker.start(start, [descriptor for descriptor in inherited if descriptor is not None])
        except OSError as error:
            worker.bury()
            log.error("worker.not_started", role=worker.role, error=str(error), restart_in_s=worker.mourn())  # noqa: TRY400 - it says it all
            return
        if worker is self._delivery or self._delivery.ready or self._has_served:
            worker.go()

    def _is_told_to_end(self, signals: socket.socket) -> bool:
        """Waits until a signal has come, a worker has said something, or one is to be started again."""
        with selectors.DefaultSelector() as selector:
            selector.register(signals, selectors.EVENT_READ)
            for worker in self._workers:
                if worker.control is not None:
                    selector.register(worker.control, selectors.EVENT_READ, worker)
            due = [worker.start_at - monotonic() for worker in self._workers if worker.process is None]
            for key, _ in selector.select(max(0.0, min(due)) if due else None):
                if isinstance(key.data, Worker):
                    key.data.hear()
        return bool(set(_received(signals)) & set(_ENDING))

    def _welcome(self) -> None:
        """Lets the others begin once the delivery worker is ready, and says hello when all are."""
        if self._banner is None and self._delivery.ready is not None:
            self._banner = self._delivery.ready.banner
            for worker in self._workers:
                worker.go()
        if not self._has_served and all(worker.ready for worker in self._workers):
            self._has_served = True
            click.echo(self._banner)

    def _bury(self, worker: Worker) -> int:
        """Takes notice of a death; the exit code."""
        code = worker.bury()
        for counted in Path(self._counted).glob(f"gauge_live*_{worker.slot}.db"):
            counted.unlink(missing_ok=True)
        if self._has_served:
            wait_s = worker.mourn()
            log.error("worker.died", role=worker.role, slot=worker.slot, exit_code=code, restart_in_s=wait_s)
        return code

    def _end(self, signals: socket.socket) -> int:
        """First those who take requests in, so that what they still commit may still be sent; at once if told again."""
        self._listener.close()
        for role in (INBOUND, DELIVERY):
            ending = [worker for worker in self._workers if worker.role == role and worker.process is not None]
            for worker in ending:
                worker.terminate()
            if not _have_ended(ending, signals):
                return 1
        return 0


def _have_ended(workers: Sequence[Worker], signals: socket.socket) -> bool:
    """Whether all have ended in time, and nobody has lost patience."""
    deadline = monotonic() + END_WITHIN_S
    with selectors.DefaultSelector() as selector:
        selector.register(signals, selectors.EVENT_READ)
        while any(worker.process is not None and worker.process.poll() is None for worker in workers):
            selector.select(max(0.0, deadline - monotonic()))
            if set(_received(signals)) & set(_ENDING) or monotonic() > deadline:
                return False
    return True


def _received(signals: socket.socket) -> bytes:
    try:
        return signals.recv(1_024)
    except BlockingIOError:
        return b""
