"""Checkpoints: an interrupted training continues after its last whole epoch, to the same result."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

import torch

from model_store.config import TrainingConfig
from model_store.errors import TrainingError
from model_store.meta.outer import Outer, Progress

SAVE_EVERY_S = 5.0


class Checkpoint:
    """The checkpoint file of one training: one set of data, one configuration."""

    def __init__(self, folder: Path, data_sha256: str, config: TrainingConfig) -> None:
        """Name the file after data and configuration, so that another training never resumes from it."""
        digest = hashlib.sha256(f"{data_sha256}{config.model_dump_json()}".encode()).hexdigest()[:16]
        self._folder, self._data_sha256 = folder, data_sha256
        self._path = folder / f"{digest}.pt"
        self._saved = time.monotonic()
        self._siblings: list[Checkpoint] = []

    def beside(self, config: TrainingConfig) -> Checkpoint:
        """The checkpoint of another configuration tried by the same training; discarded with this one."""
        sibling = Checkpoint(self._folder, self._data_sha256, config)
        self._siblings.append(sibling)
        return sibling

    def resume(self, outer: Outer) -> Progress:
        """Load the checkpoint, if any, into ``outer``; returns the progress to continue from.

        Raises:
            TrainingError: the file is damaged.
        """
        if not self._path.exists():
            return Progress()
        try:
            saved = torch.load(self._path, weights_only=True)
            outer.load_state_dict(saved["outer"])
            return Progress(**saved["progress"])
        except Exception as exc:  # torch.load raises whatever the unpickler at fault raises
            raise TrainingError(f"{self._path}: cannot resume from it ({exc}); delete it to train anew") from exc

    def save(self, outer: Outer, progress: Progress, *, every_s: float = SAVE_EVERY_S) -> None:
        """Write the state, at most every ``every_s`` seconds; a reader sees the old file or the new one.

        Raises:
            TrainingError: it cannot be written; a bundle could not be written either.
        """
        if time.monotonic() - self._saved < every_s:
            return
        temporary = self._path.with_suffix(f".{os.getpid()}")
        # Not dataclasses.asdict: it would copy every tensor once more.
        fields = {field.name: getattr(progress, field.name) for field in dataclasses.fields(progress)}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            torch.save({"outer": outer.state_dict(), "progress": fields}, temporary)
            temporary.replace(self._path)
        except (OSError, RuntimeError) as exc:  # torch's writer raises RuntimeError for a full disk
            with suppress(OSError):
                temporary.unlink()
            raise TrainingError(
                f"{self._path}: the checkpoint cannot be written ({str(exc).splitlines()[0]}); expected a folder with "
                "free space: free some, or use another folder, and train again"
            ) from exc
        self._saved = time.monotonic()

    def discard(self) -> None:
        """Delete the file once the training is published."""
        self._path.unlink(missing_ok=True)
        for sibling in self._siblings:
            sibling.discard()
