"""Notes for the data summary, and the texts they are made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """A count of rows that were dropped, merged or incomplete, with the reason.

    Attributes:
        count: number of rows, or of the things that ``reason`` begins with.
        reason: text after the count; its first word is a plural noun, and its other words fit any count.
        warns: whether the user should check the data before training; ``kshot inspect --strict`` fails on it.
    """

    count: int
    reason: str
    warns: bool = False

    @property
    def counted_reason(self) -> str:
        """``reason`` with its noun in the singular if ``count`` is 1."""
        noun, _, rest = self.reason.partition(" ")
        return f"{noun.removesuffix('s')} {rest}" if self.count == 1 else self.reason

    def __str__(self) -> str:
        return f"{self.count:,} {self.counted_reason}"


def counted(count: int, noun: str) -> str:
    """Format ``count`` with ``noun``, in the plural unless the count is 1."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def shorten(text: str, width: int) -> str:
    """Shorten ``text`` to one line of at most ``width`` characters; a cut is marked by "…".

    Control characters, including line ends, become blanks, so that cells of a table cannot control the terminal.
    """
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= width else line[: width - 1] + "…"
