"""The words of one line, taken from the front: `buy 10 AAPL limit 100 by momentum as A1`.

Rules:
- Commas are for the reader only; a text with spaces stands in double quotes.
- What is left over at the end is a fault: a word nobody reads would be a wish nobody hears.
"""

from __future__ import annotations

import re
import shlex
from typing import Final

from tests.scenarios.transcript_language import TranscriptError

_COMMA: Final = re.compile(r'("[^"]*")|, ')
"""A text in quotes, which is kept, or a comma for the reader."""


class Words:
    """What is left of a line."""

    def __init__(self, text: str) -> None:
        """Split at spaces; `"two words"` are one."""
        self._text = text
        self._words = shlex.split(_COMMA.sub(lambda found: found[1] or " ", text))

    def __bool__(self) -> bool:
        """Say whether words are left."""
        return bool(self._words)

    def peek(self) -> str:
        """Return the next word and leave it; empty at the end."""
        return self._words[0] if self._words else ""

    def take(self, what: str) -> str:
        """Return the next word; `what` it should be is named where there is none."""
        if not self._words:
            raise TranscriptError(f"{self._text!r}: {what} is missing")
        return self._words.pop(0)

    def skip(self, *words: str) -> bool:
        """Take these words where they come next, one after the other; say whether they did."""
        if self._words[: len(words)] != list(words):
            return False
        del self._words[: len(words)]
        return True

    def expect(self, *words: str) -> None:
        """Take these words, which must come next."""
        if not self.skip(*words):
            raise self.fault(f"expected {' '.join(words)!r}")

    def after(self, *words: str) -> str | None:
        """Return the word after these, None where they do not come next."""
        return self.take(f"what follows {' '.join(words)!r}") if self.skip(*words) else None

    def rest(self) -> str:
        """Take everything that is left as one text."""
        text, self._words = shlex.join(self._words), []
        return text

    def last(self, *words: str) -> bool:
        """Take these words from the very end, where they stand there."""
        if self._words[-len(words) :] != list(words):
            return False
        del self._words[-len(words) :]
        return True

    def finish(self) -> None:
        """Fail where words are left over."""
        if self._words:
            raise self.fault(f"nobody reads {' '.join(self._words)!r}")

    def fault(self, problem: str) -> TranscriptError:
        """Return the error that names the line and the problem."""
        return TranscriptError(f"{self._text!r}: {problem}")
