"""kshot and what a user would pick instead: one catalogue, the same users, the same lists, one run.

    python -m loadtests.peers.comparison                        3,000 made-up users, 2,000 items, 16 connections
    python -m loadtests.peers.comparison --data demo:movies     any source that kshot train takes
    python -m loadtests.peers.comparison --only kshot recotem   some of them

Each peer is installed into an environment of its own below the user's cache, trained, started on one core and driven
from the other. One that cannot be installed is named with the reason. The result goes to standard output as JSON, the
table to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from loadtests.kit.machine import provenance, two_cores
from loadtests.kit.processes import ServiceError
from loadtests.kit.wrk import WrkError, wrk_path
from loadtests.peers.home_made import HomeMade
from loadtests.peers.kshot import Kshot
from loadtests.peers.librecommender import LibRecommender
from loadtests.peers.measure import Load, measure
from loadtests.peers.peer import Peer, PeerError
from loadtests.peers.recotem import Recotem
from loadtests.peers.world import World, made_up_world, world_of

PEERS: dict[str, type[Peer]] = {
    "kshot": Kshot,
    "recotem": Recotem,
    "librecommender": LibRecommender,
    "home-made": HomeMade,
}


def main() -> None:
    """Measure the peers that the command line asks for, one after the other."""
    options = _options()
    wrk_path()
    core, own_core = two_cores()
    with tempfile.TemporaryDirectory(prefix="kshot-peers-") as name:
        folder = Path(name)
        world = (
            world_of(options.data, folder / "world")
            if options.data
            else made_up_world(options.users, options.items, options.seed, folder / "world")
        )
        load = Load(options.seconds, options.warm_up, options.connections, options.k)
        found = {name: _compare(PEERS[name](folder / name, core), world, load, own_core) for name in options.only}
    result = provenance() | {
        "world": {"source": world.source, "users": len(world.user_ids), "items": world.n_items},
        "load": vars(load),
        "pinned": {"peer": core, "generator and stores": own_core},
        "peers": found,
    }
    print(json.dumps(result, indent=2))
    print(table(found), file=sys.stderr)


def table(peers: dict[str, dict[str, Any]]) -> str:
    """All peers as a Markdown table, and below it those that are not in it and why."""
    lines = [
        "| peer | recommend/s | p99 ms | failures | a new user gets | feedback to changed list | training s |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_row(row) for row in peers.values() if "absent" not in row]
    lines += [f"\n{row['name']}: not measured: {row['absent']}" for row in peers.values() if "absent" in row]
    return "\n".join(lines)


def _row(row: dict[str, Any]) -> str:
    load = row["recommend"]
    return (
        f"| {row['name']} | {load['rate']:,.0f} | {load['p99_ms']:.2f} | {load['failures']:.0f} "
        f"| {_first_list(row['new_user'])} | {_following(row['adaptation'])} | {row['training_s']:.1f} |"
    )


def _first_list(new_user: dict[str, Any]) -> str:
    if not new_user["items"]:
        return f"status {new_user['status']}"
    return f"{new_user['items']} items, {'the same for all' if new_user['same_for_all'] else 'personal'}"


def _following(adaptation: dict[str, Any]) -> str:
    seconds = adaptation["seconds"]
    text = f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
    if adaptation["how"] == "feedback":
        return text
    beside = adaptation.get("with_question")
    sent_along = f"; {beside['seconds'] * 1e3:.1f} ms for items sent along, not kept" if beside else ""
    return f"{text}, by {adaptation['how']}{sent_along}"


def _compare(peer: Peer, world: World, load: Load, own_core: int | None) -> dict[str, Any]:
    """One peer from its installation to its figures; training may use every core, the load has its own."""
    print(f"{peer.name}: installing, training", file=sys.stderr)
    everywhere = os.sched_getaffinity(0)
    try:
        peer.install()
        started = time.perf_counter()
        peer.learn(world)
        training_s = time.perf_counter() - started
        if own_core is not None:
            os.sched_setaffinity(0, {own_core})
        print(f"{peer.name}: starting, measuring", file=sys.stderr)
        peer.start(world)
        return {"name": peer.name, "training_s": round(training_s, 2), **measure(peer, world, load, peer.folder)}
    except (PeerError, ServiceError) as exc:
        return {"name": peer.name, "absent": str(exc)}
    finally:
        peer.stop()
        os.sched_setaffinity(0, everywhere)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a source of kshot train, in place of the made-up world")
    parser.add_argument("--users", type=int, default=3_000, help="users of the made-up world")
    parser.add_argument("--items", type=int, default=2_000, help="items of the made-up world, at least 600")
    parser.add_argument("--seed", type=int, default=0, help="one seed gives one made-up world")
    parser.add_argument("--only", nargs="*", choices=PEERS, default=list(PEERS), help="peers to measure")
    parser.add_argument("--k", type=int, default=20, help="length of a list")
    parser.add_argument("--connections", type=int, default=16, help="requests under way at once")
    parser.add_argument("--seconds", type=int, default=10, help="length of the measured load")
    parser.add_argument("--warm-up", type=int, default=5, help="seconds of load before it")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except WrkError as exc:
        sys.exit(str(exc))
