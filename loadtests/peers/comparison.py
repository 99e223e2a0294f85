"""kshot beside other open recommenders on the same catalogue and users: rates, adaptation, training.

    python -m loadtests comparison                        3,000 made-up users, 2,000 items, 16 connections
    python -m loadtests comparison --data demo:movies     any source of kshot train
    python -m loadtests comparison --only kshot recotem   some of the peers

Every peer is installed into a virtual environment below the user's cache, trained, started on one core and driven from
another. A peer that cannot be installed is listed with the reason.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from loadtests.kit.cli import LoadTest, Result, progress
from loadtests.kit.errors import LoadTestError
from loadtests.kit.machine import pin, two_cores
from loadtests.kit.tables import markdown
from loadtests.kit.wrk import wrk_path
from loadtests.peers.home_made import HomeMade
from loadtests.peers.kshot import Kshot
from loadtests.peers.librecommender import LibRecommender
from loadtests.peers.measure import Load, measure_peer
from loadtests.peers.peer import Peer
from loadtests.peers.recotem import Recotem
from loadtests.peers.world import World, made_up_world, world_of

PEERS: dict[str, type[Peer]] = {
    "kshot": Kshot,
    "recotem": Recotem,
    "librecommender": LibRecommender,
    "home-made": HomeMade,
}


def measure(options: argparse.Namespace) -> Result:
    """Measure the peers one after the other."""
    wrk_path()
    core, load_core = two_cores()
    with tempfile.TemporaryDirectory(prefix="kshot-peers-") as name:
        folder = Path(name)
        world = (
            world_of(options.data, folder / "world")
            if options.data
            else made_up_world(options.users, options.items, options.seed, folder / "world")
        )
        load = Load(options.seconds, options.warm_up, options.connections, options.k)
        peers = {name: _measure_peer(PEERS[name](folder / name, core), world, load, load_core) for name in options.only}
    return {
        "world": {"source": world.source, "users": len(world.user_ids), "items": world.n_items},
        "load": vars(load),
        "pinned": {"peer": core, "generator and user stores": load_core},
        "peers": peers,
    }


def table(result: Result) -> str:
    """All measured peers as a Markdown table; below it the absent peers with the reasons."""
    rows = result["peers"].values()
    header = [
        "peer",
        "recommend/s",
        "p99 ms",
        "failures",
        "list of a new user",
        "feedback to changed list",
        "training s",
    ]
    measured = markdown(header, [_row(row) for row in rows if "absent" not in row])
    return "\n\n".join(
        [measured, *(f"{row['name']}: not measured: {row['absent']}" for row in rows if "absent" in row)]
    )


def _row(row: dict[str, Any]) -> list[str]:
    load = row["recommend"]
    return [
        row["name"],
        f"{load['rate']:,.0f}",
        f"{load['p99_ms']:.2f}",
        f"{load['failures']:.0f}",
        _first_list(row["new_user"]),
        _time_to_changed_list(row["adaptation"]),
        f"{row['training_s']:.1f}",
    ]


def _first_list(new_user: dict[str, Any]) -> str:
    if not new_user["items"]:
        return f"status {new_user['status']}"
    return f"{new_user['items']} items, {'the same for all' if new_user['same_for_all'] else 'personal'}"


def _time_to_changed_list(adaptation: dict[str, Any]) -> str:
    seconds = adaptation["seconds"]
    text = f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
    if adaptation["how"] == "feedback":
        return text
    request = adaptation.get("with_request")
    alternative = f"; {request['seconds'] * 1e3:.1f} ms for items in the request, not stored" if request else ""
    return f"{text}, by {adaptation['how']}{alternative}"


def _measure_peer(peer: Peer, world: World, load: Load, load_core: int | None) -> dict[str, Any]:
    """Install, train and measure a peer; training may use every core, the load has one core."""
    progress(f"{peer.name}: installing, training")
    all_cores = os.sched_getaffinity(0)
    try:
        peer.install()
        started = time.perf_counter()
        peer.train(world)
        training_s = time.perf_counter() - started
        pin(load_core)
        progress(f"{peer.name}: starting, measuring")
        peer.start(world)
        return {"name": peer.name, "training_s": round(training_s, 2), **measure_peer(peer, world, load, peer.folder)}
    except LoadTestError as exc:
        return {"name": peer.name, "absent": str(exc)}
    finally:
        peer.stop()
        os.sched_setaffinity(0, all_cores)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="source of kshot train, in place of the made-up world")
    parser.add_argument("--only", nargs="*", choices=PEERS, default=list(PEERS), help="peers to measure")
    parser.add_argument("--k", type=int, default=20, help="length of a list (20)")


LOAD_TEST = LoadTest(
    measure,
    table,
    {"users": 3_000, "items": 2_000, "seed": 0, "connections": 16, "seconds": 10, "warm_up": 5},
    smoke={"users": 100, "items": 600, "only": ["kshot"], "seconds": 1, "warm_up": 1},
    add_options=_add_options,
)
