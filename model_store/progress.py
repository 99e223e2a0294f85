"""Progress bars for long-running work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


@dataclass
class Bar:
    """A progress bar with a note beside it."""

    progress: Progress
    task: TaskID

    def advance(self, note: str = "") -> None:
        """Advance the bar by one step."""
        self.progress.update(self.task, advance=1, note=note)

    def say(self, note: str) -> None:
        """Change the note beside the bar."""
        self.progress.update(self.task, note=note)

    def set(self, completed: float, note: str = "") -> None:
        """Move the bar to ``completed``."""
        self.progress.update(self.task, completed=completed, note=note)


@contextmanager
def bar(console: Console, title: str, total: float | None = None) -> Iterator[Bar]:
    """Show a progress bar while the block runs; without ``total`` it pulses."""
    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=28),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=total, note="")
        yield Bar(progress, task)
        progress.update(task, total=1, completed=1)
