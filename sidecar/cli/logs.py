"""Logs of a running sidecar: one line each on stderr, never a secret; plain, time first, or JSON.

Rules:
- A plain line is `TIME LEVEL logger: message`; a message never spans lines, whatever it quotes.
- A flood of alike lines is counted instead of written (`log_rate.py`).
- Libraries speak from WARNING on; the sidecar from INFO.
"""

import logging
import sys

from sidecar.cli.json_logs import JsonFormatter, Speaker
from sidecar.cli.log_rate import BoundedHandler
from sidecar.cli.options import printable
from sidecar.clock import format_rfc3339


class LineFormatter(logging.Formatter):
    """One record, one line: a traceback is folded into it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = format_rfc3339(int(record.created) * 1_000_000_000)
        text = record.getMessage()
        if record.exc_info:
            text = f"{text} {self.formatException(record.exc_info)}"
        return f"{moment} {record.levelname} {record.name}: {printable(text)}"


def begin_logging(speaker: Speaker | None = None) -> None:
    """Send all logs of this process to stderr: as JSON where a speaker is named."""
    handler = BoundedHandler(sys.stderr)
    handler.setFormatter(LineFormatter() if speaker is None else JsonFormatter(speaker))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("sidecar").setLevel(logging.INFO)


def dropped_count() -> int:
    """Return how many lines of this process were counted instead of written."""
    handlers = logging.getLogger().handlers
    return sum(each.dropped_count for each in handlers if isinstance(each, BoundedHandler))
