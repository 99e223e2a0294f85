"""Does anything grow while a service works for a long time? Memory, descriptors and latency at 70% of the highest rate.

    python -m loadtests.serving.soak --minutes 30                        60,000 synthetic items
    python -m loadtests.serving.soak --minutes 30 --json soak.json       with the raw samples kept
    python -m loadtests.serving.soak --smoke                             some seconds on 2,000 items: does it still run?

Every user begins with as many events as a user can have in the support, so that no request gets dearer just because
its user is known better. The highest rate is measured first, by the same mix of requests without pauses.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import random
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtests.kit.machine import memory_mib, provenance, two_cores
from loadtests.kit.processes import RunningService, ServiceError, running_service, running_store
from loadtests.kit.trend import trend
from loadtests.kit.wrk import Load, WrkError, drive, wrk_path
from model_store.bundle import Bundle, Registry, open_bundle

SHARE = 0.7
LIST_LENGTH = 20
MAX_EVENTS = 256
SMOKE = {"items": 2_000, "users": 50, "minutes": 0.05, "sample_s": 1, "warm_up": 1}

# How much of its median a series may grow over the whole run before growth beyond chance counts as such.
TOLERATED = {"own memory, MiB": 0.03, "open descriptors": 0.0, "p50, ms": 0.1, "p99, ms": 0.2}


@dataclass(frozen=True)
class Mix:
    """Requests as a service gets them, from many users at random.

    Attributes:
        url: base address of the service.
        users: how many users there are.
        item_ids: file with the catalogue's ids.
        value: the value of every event.
        connections: connections that send, each with one request under way at most.
    """

    url: str
    users: int
    item_ids: Path
    value: float
    connections: int

    def drive(self, seconds: int, seed: int, pause_ms: int = 0) -> Load:
        """Send for ``seconds``; each connection rests for ``pause_ms`` on average after an answer."""
        arguments = [self.users, LIST_LENGTH, self.item_ids, self.value, pause_ms, seed]
        return drive(
            self.url, "soak.lua", [str(each) for each in arguments], seconds=seconds, connections=self.connections
        )


@dataclass(frozen=True)
class Sample:
    """What one stretch of the run showed, and the service at its end."""

    minutes: float
    rate: float
    failures: int
    own_mib: float
    descriptors: int
    p50_ms: float
    p99_ms: float


def main() -> None:
    """Run the soak that the command line asks for; leaves with 1 if something grew or failed."""
    options = _options()
    wrk_path()
    service_core, own_core = two_cores()
    if own_core is not None:
        os.sched_setaffinity(0, {own_core})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kshot-soak-")))
        bundles = options.bundles or _synthetic(folder, options.items)
        bundle = open_bundle(Registry(bundles).live_folder())
        redis = stack.enter_context(running_store())
        service = stack.enter_context(running_service(bundles, redis, core=service_core))
        _tell("every user gets a history")
        fill(service.url, bundle, options.users)
        item_ids = folder / "items"
        item_ids.write_text("".join(f"{json.dumps(each)}\n" for each in bundle.catalogue.ids), encoding="utf-8")
        mix = Mix(service.url, options.users, item_ids, bundle.manifest.feedback.value_max, options.connections)
        result = soak(mix, service, options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(table(result))
    sys.exit(0 if result["verdict"] == "nothing grew" else 1)


def _synthetic(folder: Path, items: int) -> Path:
    from loadtests.worlds.bundles import synthetic_bundle  # brings torch

    return synthetic_bundle(folder, items, seed=0)


def fill(url: str, bundle: Bundle, users: int) -> None:
    """Give every user a full support."""
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    drawn, value = random.Random(0), bundle.manifest.feedback.value_max
    count = min(MAX_EVENTS, bundle.manifest.limits.max_support)
    for user in range(users):
        items = drawn.choices(bundle.catalogue.ids, k=count)
        body = {"user_id": f"u{user}", "events": [{"item_id": item, "value": value} for item in items]}
        connection.request("POST", "/feedback", json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise ServiceError(f"user u{user} got no history: {answer.status} {answer.read()[:500]!r}")
        answer.read()
    connection.close()


def soak(mix: Mix, service: RunningService, options: argparse.Namespace) -> dict[str, Any]:
    """Find the highest rate, keep to 70% of it, and put the samples and their trends beside what they were made on."""
    mix.drive(options.warm_up, seed=0)
    highest = mix.drive(options.warm_up, seed=1)
    wanted = SHARE * highest.rate
    pause_ms = _pause_for(mix, wanted, options.warm_up)
    samples = list(_samples(mix, service, options, pause_ms))
    series = trends(samples)
    failures = sum(sample.failures for sample in samples)
    grown = [name for name, each in series.items() if each["grows"]]
    return {
        **provenance(),
        "minutes": round(samples[-1].minutes, 2),
        "highest_rate": round(highest.rate, 1),
        "wanted_rate": round(wanted, 1),
        "rate": round(sum(sample.rate for sample in samples) / len(samples), 1),
        "failures": failures,
        "trends": series,
        "verdict": ", ".join([*grown, f"{failures} failures"]) if grown or failures else "nothing grew",
        "samples": [asdict(sample) for sample in samples],
    }


def _pause_for(mix: Mix, rate: float, seconds: int) -> int:
    """The pause, ms, at which the connections together send ``rate`` requests a second; found by trying twice."""
    pause_ms = 1000 * mix.connections / rate
    for seed in (2, 3):
        reached = mix.drive(seconds, seed, round(pause_ms)).rate
        pause_ms = max(0.0, pause_ms + 1000 * mix.connections * (1 / rate - 1 / reached))
    return round(pause_ms)


def _samples(mix: Mix, service: RunningService, options: argparse.Namespace, pause_ms: int) -> Iterator[Sample]:
    """Stretch after stretch until the time is over."""
    started = time.monotonic()
    for seed in itertools.count(4):
        load = mix.drive(options.sample_s, seed, pause_ms)
        minutes = (time.monotonic() - started) / 60
        descriptors = len(list(Path(f"/proc/{service.pid}/fd").iterdir()))
        own = memory_mib(service.pid)["own"]
        _tell(f"{minutes:.1f} of {options.minutes:g} minutes: {load.rate:,.0f}/s, {own:.0f} MiB, {load.p99_ms:.1f} ms")
        yield Sample(minutes, load.rate, load.failures, own, descriptors, load.p50_ms, load.p99_ms)
        if minutes >= options.minutes:
            return


def trends(samples: list[Sample]) -> dict[str, dict[str, Any]]:
    """Every series with its growth over the run, and whether that is growth."""
    at = [sample.minutes for sample in samples]
    names = dict(zip(TOLERATED, ("own_mib", "descriptors", "p50_ms", "p99_ms"), strict=True))
    found = {}
    for name, attribute in names.items():
        fitted = trend(at, [float(getattr(sample, attribute)) for sample in samples])
        figures = {key: round(value, 3) for key, value in asdict(fitted).items()}
        found[name] = figures | {"grows": fitted.exceeds(TOLERATED[name] * fitted.median)}
    return found


def table(result: dict[str, Any]) -> str:
    """The trends as a Markdown table, and the verdict."""
    share = result["rate"] / result["highest_rate"]
    run = f"{result['minutes']:g} minutes at {result['rate']:,.0f} requests/s, {share:.0%} of the highest rate"
    lines = [
        f"{run}, {result['failures']} failures: **{result['verdict']}**",
        "",
        "| | median | growth over the run | 95% interval | tolerated | grows |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {each['median']:.2f} | {each['growth']:+.2f} | {each['low']:+.2f} to {each['high']:+.2f} "
        f"| {TOLERATED[name] * each['median']:.2f} | {'yes' if each['grows'] else 'no'} |"
        for name, each in result["trends"].items()
    ]
    return "\n".join(lines)


def _tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="how long")
    parser.add_argument("--sample-s", type=int, default=10, help="length of one stretch between two samples, seconds")
    parser.add_argument("--warm-up", type=int, default=10, help="seconds of each of four runs before the first sample")
    parser.add_argument("--bundles", type=Path, help="store with a live bundle, in place of a synthetic one")
    parser.add_argument("--items", type=int, default=60_000, help="rows of the synthetic catalogue")
    parser.add_argument("--users", type=int, default=2_000, help="users that requests are drawn from")
    parser.add_argument("--connections", type=int, default=32, help="connections that send")
    parser.add_argument("--json", type=Path, help="where to keep the result with all samples")
    parser.add_argument("--smoke", action="store_true", help="some seconds on a small catalogue")
    options = parser.parse_args()
    if options.smoke:
        vars(options).update(SMOKE)
    return options


if __name__ == "__main__":
    try:
        main()
    except (WrkError, ServiceError) as exc:
        sys.exit(str(exc))
