"""How log lines look: one JSON object a line for machines, or text for people.

`extra={"object": "namespace/name"}` names the deployment that a line is about.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from videollm_operator.runtime.settings import Settings


_REPEAT_SECONDS = 60.0
_MOST_CAUSES = 1000
_REQUEST = re.compile(r"#\d+|: [A-Z]+ https?://\S+")
"""What differs between failed requests of one cause: attempt and URL."""


class _Lines(logging.Formatter):
    """What both formats share: UTC times, and which errors come with a traceback.

    Args:
        terse: loggers of libraries that add tracebacks to what is no bug, such as a lost
            connection; these are left out.
    """

    def __init__(self, terse: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._terse = terse

    def fields(self, record: logging.LogRecord) -> dict[str, str]:
        """What a line says."""
        at = datetime.fromtimestamp(record.created, UTC)
        found = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name.removeprefix("videollm_operator."),
            "message": record.getMessage(),
        }
        about = getattr(record, "object", "")
        if about:
            found["object"] = str(about)
        traceback = record.exc_info and record.exc_info[0] is not None
        if traceback and record.name.partition(".")[0] not in self._terse:
            found["error"] = self.formatException(record.exc_info)  # type: ignore[arg-type] # is one
        return found


class JSONLines(_Lines):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return json.dumps(self.fields(record), ensure_ascii=False)


class TextLines(_Lines):
    """Text, with what it is about as key=value at the end."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or lines if there is a traceback."""
        found = self.fields(record)
        line = f"{found['time']} {found['level']:<7} {found['logger']}: {found['message']}"
        if "object" in found:
            line += f" object={found['object']}"
        return f"{line}\n{found['error']}" if "error" in found else line


class NoRepeats(logging.Filter):
    """Lets Kopf say once a minute, not for every watch and attempt, why requests fail."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is to be shown."""
        message = record.getMessage()
        if not message.startswith("Request attempt"):
            return True
        why = _REQUEST.sub("", message)
        since = record.created - self._said.get(why, 0.0)
        if 0 <= since < _REPEAT_SECONDS:  # less: the wall clock was set back
            return False
        if len(self._said) >= _MOST_CAUSES:
            self._said.clear()
        self._said[why] = record.created
        return True


def configure(settings: Settings, libraries: tuple[str, ...] = ()) -> None:
    """Sets up logging to standard error for the whole process.

    Args:
        settings: level and format.
        libraries: loggers that are heard from `warning` on, and without tracebacks, unless the
            level is `debug`.
    """
    level = getattr(logging, settings.log_level.upper())
    debugging = level <= logging.DEBUG
    lines = JSONLines if settings.log_format == "json" else TextLines
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(lines(() if debugging else libraries))
    if not debugging:
        handler.addFilter(NoRepeats())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in libraries:
        logging.getLogger(name).setLevel(level if debugging else max(level, logging.WARNING))
