"""What a person probably meant by a word that nothing knows."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_LIKENESS_MIN: Final = 0.6


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean WORD?` for the closest known word, or an empty string."""
    close = get_close_matches(word, sorted(known), n=1, cutoff=_LIKENESS_MIN)
    return f"did you mean {close[0]}?" if close else ""
