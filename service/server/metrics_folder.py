"""The folder through which the workers of one run share their metrics.

prometheus-client decides at its first import, by ``PROMETHEUS_MULTIPROC_DIR``, whether values go into files there, and
counts every file in that folder. So ``kshot`` moves the variable into a setting before that import, and gives each run
a new folder without files of earlier runs.
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
    """Move prometheus-client's variable, in both of its spellings, into the setting of the same meaning."""
    values = [os.environ.pop(name, "") for name in (VARIABLE, VARIABLE.lower())]
    folder = next(filter(None, [os.environ.get(SETTING, ""), *values]), "")
    if folder:
        os.environ[SETTING] = folder


@contextmanager
def metrics_folder(parent: Path | None) -> Iterator[str]:
    """A new folder in ``parent``, or among the temporary files, removed at the end.

    Raises:
        SettingInvalid: ``parent`` is absent, not a folder, or not writable.
    """
    try:
        created = tempfile.TemporaryDirectory(prefix="kshot-metrics-", dir=parent, ignore_cleanup_errors=True)
    except OSError as exc:
        raise SettingInvalid(
            f"metrics_dir ({SETTING}, or {VARIABLE}): {parent or 'absent, so the folder of temporary files'}, "
            f"expected an existing folder that can be written to ({exc.strerror or exc})"
        ) from exc
    with created as folder:
        yield folder
