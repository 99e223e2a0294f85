"""``kshot serve`` in a separate process, and its client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import made_up
from prometheus_client.parser import text_string_to_metric_families

KSHOT = Path(sys.executable).with_name("kshot")
START_DEADLINE_S = 60.0
DEADLINE_S = 20.0

Answer = dict[str, Any]
Events = list[dict[str, Any]]


@dataclass
class Running:
    """A service that has announced its address."""

    process: subprocess.Popen[str]
    log: Path
    client: httpx.Client

    def recommend(self, user_id: str, **query: int | bool) -> Answer:
        response = self.client.get("/recommend", params={"user_id": user_id, **query})
        assert response.status_code == 200, response.text
        answer: Answer = response.json()
        return answer

    def items(self, user_id: str, **query: int | bool) -> list[str]:
        return [item["item_id"] for item in self.recommend(user_id, **query)["items"]]

    def post(self, user_id: str, events: Events) -> httpx.Response:
        return self.client.post("/feedback", json={"user_id": user_id, "events": events})

    def give(self, user_id: str, *events: dict[str, Any]) -> Answer:
        response = self.post(user_id, list(events))
        assert response.status_code == 200, response.text
        answer: Answer = response.json()
        return answer

    def like(self, user_id: str, *item_ids: str) -> Answer:
        return self.give(user_id, *({"item_id": item_id, "value": 5} for item_id in item_ids))

    def metrics(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """Value by name and label values."""
        text = self.client.get("/metrics").text
        return {
            (sample.name, tuple(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def logged(self) -> list[dict[str, Any]]:
        """All lines of standard error so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def has_logged(self, event: str) -> bool:
        return any(line["event"] == event for line in self.logged())

    def kill(self) -> None:
        """SIGKILL to the service and all its workers at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE_S)

    def workers(self) -> set[int]:
        """Process ids of the workers, if there are several."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return {int(child) for child in children if b"spawn_main" in command_of(child)}

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(DEADLINE_S)


@contextmanager
def running(store: Path, folder: Path, *flags: object, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """``kshot serve`` on a free port, with users' data in ``folder``; stopped at the end if it still runs."""
    folder.mkdir(exist_ok=True)
    log = folder / f"stderr-{time.monotonic_ns()}"
    command = [KSHOT, "serve", "--bundles", store, "--data-dir", folder / "users", "--port", 0, *flags]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,  # so that a test can kill all processes at once
            env=os.environ | {"KSHOT_STORE_TIMEOUT_MS": "5000"} | dict(env or {}),
        )
    assert process.stdout is not None
    try:
        announced = process.stdout.readline()
        assert announced.startswith("serving on http://"), log.read_text()
        with httpx.Client(base_url=announced.split()[-1], timeout=DEADLINE_S) as client:
            wait_until(lambda: client.get("/health/ready").is_success)
            yield Running(process, log, client)
    finally:
        process.terminate()
        process.wait(DEADLINE_S)
        process.stdout.close()


def kshot(*arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(KSHOT), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | env,
    )


def complaint(*arguments: object, **env: str) -> str:
    """The error with which ``kshot serve`` ends, which must be one line."""
    ended = kshot("serve", *arguments, **env)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    return line.removeprefix("error: ")


def command_of(pid: str) -> bytes:
    """Command line of a process; empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def wait_until(condition: Callable[[], object]) -> None:
    """Poll until ``condition`` holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not true within {DEADLINE_S} s"
        time.sleep(0.01)


def groups(item_ids: list[str]) -> set[int]:
    """The groups of the made-up world in a list."""
    return {made_up.group_of(item_id) for item_id in item_ids}
