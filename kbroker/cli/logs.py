"""Logging to stderr: one event a line, a fixed sentence plus fields, as text or JSON.

Fields travel in `extra=`: `log.info("closing", extra={"client": host})`.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, Final

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up_logging(form: str, level: str = "INFO") -> None:
    """Send everything of at least `level` to stderr; `form` is text or json. Replaces earlier set-ups."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller gave in `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class TextFormatter(logging.Formatter):
    """`2026-11-21 09:14:03.123 INFO  kbroker.gate unserved request: closing client=127.0.0.1 api=99`"""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows on lines of its own."""
        fields = "".join(f" {name}={_plain(value)}" for name, value in fields_of(record).items())
        when = f"{self.formatTime(record, '%Y-%m-%d %H:%M:%S')}.{int(record.msecs):03d}"
        line = f"{when} {record.levelname:<5} {record.name} {_one_line(record.getMessage())}{fields}"
        return line if record.exc_info is None else f"{line}\n{self.formatException(record.exc_info)}"


class JsonFormatter(logging.Formatter):
    """`{"ts": "...", "level": "INFO", "logger": "kbroker.gate", "event": "...", "client": "127.0.0.1"}`"""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object on one line, a traceback in its field `traceback`; times are local, with milliseconds."""
        when = f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}"
        event = {"ts": when, "level": record.levelname, "logger": record.name, "event": record.getMessage()}
        event.update(fields_of(record))
        if record.exc_info is not None:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str)


def _plain(value: Any) -> str:
    text = str(value)
    return _one_line(text) if text and " " not in text and "\n" not in text else json.dumps(text)


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")
