"""Load from wrk: a closed loop over keep-alive connections on one route."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from loadtests.kit.errors import LoadTestError

LUA = Path(__file__).parents[1] / "lua"


class WrkError(LoadTestError):
    """wrk is not installed, or its run failed."""


@dataclass(frozen=True)
class Load:
    """Figures of one run of wrk.

    Attributes:
        requests: responses received.
        seconds: duration of the run.
        rate: responses per second.
        p50_ms, p95_ms, p99_ms, max_ms: latency of a response, milliseconds.
        failures: responses with a status of 400 or more, socket errors and timeouts.
    """

    requests: int
    seconds: float
    rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    failures: int

    def as_json(self) -> dict[str, float]:
        """All fields, rounded to three digits."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def wrk_path() -> str:
    """Path of the installed wrk; raises WrkError without one."""
    path = shutil.which("wrk")
    if path is None:
        raise WrkError("wrk is not on PATH; on Debian: apt-get install wrk")
    return path


def drive(url: str, script: str, arguments: Sequence[object], *, seconds: int, connections: int) -> Load:
    """Run a script of ``loadtests/lua`` against the service at ``url``.

    Args:
        url: base address of the service.
        script: file name, e.g. "recommend.lua".
        arguments: arguments of the script's ``init``.
        seconds: duration, at least 1.
        connections: keep-alive connections, each with one request under way.

    Raises:
        WrkError: wrk is not installed, or it ended with an error.
    """
    command = [wrk_path(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s"]
    command += ["-s", str(LUA / script), url, "--", *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    if finished.returncode != 0:
        raise WrkError(f"{script} ended with status {finished.returncode}: {finished.stderr.strip()}")
    return parse(finished.stdout)


def parse(output: str) -> Load:
    """Read the JSON that every script prints as its last line."""
    fields = json.loads(output.strip().splitlines()[-1])
    seconds = fields["duration_us"] / 1e6
    return Load(
        requests=fields["requests"],
        seconds=seconds,
        rate=fields["requests"] / seconds,
        p50_ms=fields["p50_us"] / 1e3,
        p95_ms=fields["p95_us"] / 1e3,
        p99_ms=fields["p99_us"] / 1e3,
        max_ms=fields["max_us"] / 1e3,
        failures=fields["failures"],
    )
