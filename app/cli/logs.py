"""Log lines on standard error, one per thing that happened: for people on a terminal, as JSON elsewhere."""

import logging
import sys
from typing import Any

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def write_logs(log_format: str, *, least: int = logging.INFO) -> None:
    """Sets up logging for the process: ours from `least` on, what libraries say from warning on, in one form.

    `log_format` is that of the settings: console, json, or auto for whichever fits standard error.
    """
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[*_SHARED, *_last(console)],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    libraries = logging.StreamHandler(sys.stderr)
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_SHARED, processors=[remove_meta, *_last(console)])
    )
    logging.basicConfig(level=max(least, logging.WARNING), handlers=[libraries], force=True)
    logging.getLogger("uvicorn.error").addFilter(_is_no_echo)


def _is_no_echo(record: logging.LogRecord) -> bool:
    """False for uvicorn's remarks on what is said better elsewhere.

    That the start failed `serve` says itself, and why; that an answer was cut short, the line `stream.ended`.
    """
    return not record.getMessage().startswith(("Application startup failed", "ASGI callable returned without"))


def _last(console: bool) -> list[Any]:
    """The processors that turn a line's fields into its text."""
    if console:
        # The plain traceback, because a rich one shows the values of variables: payloads, and secrets.
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
