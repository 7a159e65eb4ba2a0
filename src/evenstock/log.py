"""How the hub speaks to whoever watches it: one line per event on stderr, words on a terminal, JSON elsewhere.

An event is `noun.past_tense` with its facts as keys: `log.info("batch.applied", events=500)`.
"""

import logging
import sys
from contextlib import suppress
from typing import Any, Final

import msgspec
import structlog

from evenstock.settings import LogLevel

LEVELS: Final[dict[LogLevel, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(level: LogLevel) -> None:
    """Set the process's log up, once, at its start."""
    human = sys.stderr.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if human:
        shared += [
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=("timestamp", "level", "event")),
        ]
    else:
        shared += [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(serializer=_json)]
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=_Stderr,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING, force=True)


class _Stderr:
    """Writes lines to standard error as it is at that moment; when nobody reads them any more, the work goes on."""

    def __init__(self, *_: object) -> None:
        """What a logger is told of itself does not matter here."""

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):  # a pipe without a reader, a closed stream
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = exception = log = msg


class _Libraries(logging.Handler):
    """What libraries say, in our one form."""

    def emit(self, record: logging.LogRecord) -> None:
        error = repr(record.exc_info[1])[:500] if record.exc_info and record.exc_info[1] else None
        structlog.get_logger().log(
            record.levelno, "library.said", library=record.name, words=record.getMessage(), error=error
        )


def _json(event: Any, **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()
