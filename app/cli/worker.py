"""One of several workers, as the supervisor starts it; no verb of the command line."""

import asyncio
import gc
import os
import shutil
import signal
import socket
import sys
import threading
from typing import NoReturn

import msgspec
import rich_click as click
from structlog.contextvars import bind_contextvars

from app.cli.configuration import settings_in_force
from app.cli.errors import CommandFailed
from app.cli.logs import write_logs
from app.place import INBOUND, Place, Ready, Start
from app.settings import Settings

LEFT_ALONE = 70


class Control:
    """The socket to the supervisor. When that closes nobody watches any more, and this process ends at once.

    A thread reads it, so that it does not matter what the event loop is doing.
    """

    def __init__(self, descriptor: int, place: Place) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._place = place
        self._may_go = threading.Event()
        threading.Thread(target=self._listen, name="control", daemon=True).start()

    def wait_to_go(self) -> None:
        """Returns when the database may be opened."""
        self._may_go.wait()

    def tell(self, ready: Ready) -> None:
        """Tells the supervisor that this worker works."""
        self._socket.send(msgspec.json.encode(ready))

    def _listen(self) -> None:
        try:
            while self._socket.recv(16):
                self._may_go.set()
        except OSError:
            pass
        shutil.rmtree(self._place.shared_folder, ignore_errors=True)
        os._exit(LEFT_ALONE)


def main() -> NoReturn:
    """Works in the place that the first argument describes, until told to end."""
    gc.disable()  # until all is made, as `serve` does
    start = msgspec.json.decode(sys.argv[1], type=Start)
    control = Control(start.control, start.place)
    _count_in_files(start.place)
    try:
        settings = settings_in_force(host=start.host, port=start.port)
        write_logs(settings.log_format)
        bind_contextvars(worker=f"{start.place.role} {start.place.slot}")
        if start.place.role == INBOUND:
            _take_in(settings, start, control)
        else:
            _deliver(settings, start.place, control)
    except CommandFailed as failure:
        click.echo(f"mailweir: {failure}", err=True)
        sys.exit(failure.exit_code)
    sys.exit(0)


def _count_in_files(place: Place) -> None:
    """To be called before anything is imported that counts; who takes over a place goes on in its files."""
    from prometheus_client import values

    os.environ["PROMETHEUS_MULTIPROC_DIR"] = place.shared_folder  # noqa: TID251 - the library takes it from nowhere else
    values.ValueClass = values.MultiProcessValue(lambda: place.slot)  # pyright: ignore[reportUnknownMemberType]


def _take_in(settings: Settings, start: Start, control: Control) -> None:
    from app.cli.serving import made, run
    from app.gateway import Gateway

    async def tell(gateway: Gateway) -> None:
        control.tell(Ready(gateway.node))

    app = made(settings, start.place)
    control.wait_to_go()
    run(app, socket.socket(fileno=start.listener), tell)


def _deliver(settings: Settings, place: Place, control: Control) -> None:
    import uvloop

    from app.cli.starting import explained

    with explained(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_deliver_until_told_to_end(settings, place, control))


async def _deliver_until_told_to_end(settings: Settings, place: Place, control: Control) -> None:
    from app.cli.greeting import banner, settle_down
    from app.gateway import Gateway

    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    gateway = await Gateway.open(settings, place=place)
    try:
        settle_down()
        control.tell(Ready(gateway.node, await banner(gateway)))
        await ending.wait()
    finally:
        await gateway.close()
