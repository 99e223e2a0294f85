"""The folder through which the workers of one run share their metrics.

prometheus-client decides at its first import, by ``PROMETHEUS_MULTIPROC_DIR``, whether values go into files there, and
counts every file that it finds. So ``kshot`` takes the variable over before that, and gives each run a folder of its
own, in which nothing is left from an earlier one.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import SettingInvalid

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
SETTING = "KSHOT_METRICS_DIR"


def take_over_variable() -> None:
    """Move prometheus-client's variable, in both of its spellings, into the setting that says the same."""
    named = [os.environ.pop(name, "") for name in (VARIABLE, VARIABLE.lower())]
    folder = next(filter(None, [os.environ.get(SETTING, ""), *named]), "")
    if folder:
        os.environ[SETTING] = folder


@contextmanager
def folder_of_a_run(parent: Path | None) -> Iterator[str]:
    """A new folder in ``parent``, or where temporary files go, removed in the end.

    Raises:
        SettingInvalid: ``parent`` is absent, not a folder, or cannot be written.
    """
    try:
        created = tempfile.TemporaryDirectory(prefix="kshot-metrics-", dir=parent, ignore_cleanup_errors=True)
    except OSError as exc:
        raise SettingInvalid(
            f"metrics_dir ({SETTING}, or {VARIABLE}): {parent or 'absent, so the folder of temporary files'}, "
            f"expected a folder that is there and can be written ({exc.strerror or exc})"
        ) from exc
    with created as folder:
        yield folder
