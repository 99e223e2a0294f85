"""The documents of the project: their pages, code blocks, prose and links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from root import ROOT

AT_THE_ROOT = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
FENCE = re.compile(
    r"(?P<markers>(?:^<!-- .+? -->\n)*)^(?P<ticks>```+)(?P<language>\S*)[^\n]*\n(?P<code>.*?)^(?P=ticks)$\n?",
    re.DOTALL | re.MULTILINE,
)
MARKER = re.compile(r"^<!-- (prepare|not run|answers): (.+?) -->$", re.MULTILINE)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
LINK = re.compile(r"!?\[(?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*\]\(([^()\s]+)\)")
IMAGE = re.compile(r"!\[[^\]]*\]\(([^()\s]+)\)")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Attributes:
        page: path from the root of the project.
        line: number of its first line of code.
        language: the word after the fence.
        code: its lines.
        markers: text of the comments directly above, by kind.
    """

    page: str
    line: int
    language: str
    code: str
    markers: dict[str, str]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """All documents: those at the root and those of the site."""
    return [*(ROOT / name for name in AT_THE_ROOT), *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    matches = []
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("code")) + 1
        markers = dict(MARKER.findall(match["markers"]))
        matches.append(Block(name_of(page), line, match["language"], match["code"], markers))
    return matches


def prose(page: Path) -> str:
    """The page without code blocks and comments."""
    text = FENCE.sub("\n", page.read_text(encoding="utf-8"))
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def paragraphs(page: Path) -> list[str]:
    """Paragraphs and items of lists; neither headings nor tables."""
    parts = re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", prose(page))
    return [part.strip() for part in parts if part.strip() and not part.lstrip().startswith(("#", "|", "!["))]


def words(text: str) -> int:
    return len(text.split())


def links(page: Path) -> list[str]:
    text = prose(page)
    return [*LINK.findall(text), *IMAGE.findall(text)]


def commands(page: Path) -> list[str]:
    """Commands of the page, those in its sentences too, one per line."""
    lines = [line for block in blocks(page) if block.language == "sh" for line in command_lines(block.code)]
    return [*lines, *(span for span in SPAN.findall(prose(page)) if " " in span)]


def command_lines(code: str) -> list[str]:
    """Lines of a shell block, continued ones joined, without comments."""
    joined = code.replace("\\\n", " ")
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]
