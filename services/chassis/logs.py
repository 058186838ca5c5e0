"""Structured logs: JSON lines on standard error with an allow-list of fields.

Never a message body, a secret or text that a person typed. A field outside the list is dropped and its name is said, so that a slip shows in review
and not in the log.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog

FIELDS = frozenset(
    {
        "event",
        "level",
        "timestamp",
        "service",
        "method",
        "code",
        "reason",
        "request_id",
        "org_id",
        "principal_id",
        "workload",
        "duration_ms",
        "address",
        "attempt",
        "count",
        "checked",
        "differences",
        "seconds",
        "topic",
        "state",
        "revision",
        "exception",
        "error_type",
        "pid",
        "model",
        "upstream_status",
        "name",
        "seq",
        "size",
    }
)


def _allow(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    dropped = sorted(set(event) - FIELDS)
    kept = {key: value for key, value in event.items() if key in FIELDS}
    if dropped:
        kept["dropped_fields"] = dropped
    return kept


def _exception(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Types and places of an exception, never its text: drivers put parameters and bodies into it."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["error_type"] = f"{type(error).__module__}.{type(error).__qualname__}"
        frames = traceback.extract_tb(error.__traceback__)[-8:]
        event["exception"] = [
            f"{frame.filename.rsplit('/services/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames
        ]
    return event


def _render(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    return orjson.dumps(event, default=str).decode()


class _OnlyNames(logging.Handler):
    """Libraries' warnings, by logger and level alone: their texts may quote what they were given."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().warning(
            "library warning", name=record.name, state=record.levelname, exc_info=record.exc_info and record.exc_info[1]
        )


def configure(service: str, level: str = "INFO") -> None:
    """Set up logging of this process. `level` is a name of the logging module."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exception,
            _allow,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.get_logger().debug("logging", service=service)
    logging.basicConfig(handlers=[_OnlyNames()], level=logging.WARNING, force=True)
