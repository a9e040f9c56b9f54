"""Logs of a running sidecar: one plain line each on stderr, time first, never a secret.

Rules:
- A line is `TIME LEVEL logger: message`; a message never spans lines, whatever it quotes.
- A flood of alike lines is counted instead of written (`log_rate.py`).
- Libraries speak from WARNING on; the sidecar from INFO.
"""

import logging
import sys

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


def begin_logging() -> None:
    """Send all logs of this process to stderr."""
    handler = BoundedHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("sidecar").setLevel(logging.INFO)
