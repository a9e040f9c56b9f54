"""Letters two lines high, for the one word a person must read from across the room."""

from typing import Final

_GLYPHS: Final = {
    " ": ("  ", "  "),
    "A": ("▄▀█", "█▀█"),
    "C": ("█▀▀", "█▄▄"),
    "D": ("█▀▄", "█▄▀"),
    "E": ("█▀▀", "██▄"),
    "G": ("█▀▀", "█▄█"),
    "H": ("█ █", "█▀█"),
    "I": ("█", "█"),
    "L": ("█  ", "█▄▄"),
    "M": ("█▀▄▀█", "█ ▀ █"),
    "N": ("█▄ █", "█ ▀█"),
    "O": ("█▀█", "█▄█"),
    "R": ("█▀█", "█▀▄"),
    "S": ("█▀▀", "▄██"),
    "T": ("▀█▀", " █ "),
    "U": ("█ █", "█▄█"),
    "W": ("█ █ █", "▀▄▀▄▀"),
    "Y": ("█▄█", " █ "),
}


def large(word: str) -> str:
    """Return `word` in two lines; a letter without a glyph leaves all of it in ordinary ones."""
    glyphs = [_GLYPHS.get(letter) for letter in word.replace("_", " ")]
    if any(glyph is None for glyph in glyphs):
        return word
    rows = [" ".join(glyph[row] for glyph in glyphs if glyph is not None) for row in (0, 1)]
    return "\n".join(rows)
