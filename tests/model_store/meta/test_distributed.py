"""Training under ``torchrun``: two real processes learn the same as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shared_training
import torch
from root import ROOT

from model_store.bundle import Registry, open_bundle
from model_store.data.episodes import deal
from model_store.data.sources import load


def torchrun(*program: object, processes: int = 2) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests/support")]), "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(
        [*command, *map(str, program)], env=env, capture_output=True, text=True, check=False, timeout=200
    )
    assert finished.returncode == 0, finished.stderr
    return finished


@pytest.fixture(scope="module")
def shared(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    torchrun(shared_training.__file__, source, folder)
    return folder


@pytest.mark.parametrize("algorithm", shared_training.ALGORITHMS)
def test_two_processes_take_the_steps_of_one(source: Path, shared: Path, algorithm: str) -> None:
    history, best = torch.load(shared / f"{algorithm}-0.pt")
    other_history, other_best = torch.load(shared / f"{algorithm}-1.pt")
    alone = shared_training.trained(str(source), algorithm)
    assert history == other_history
    losses, expected = ([epoch["loss"] for epoch in epochs] for epochs in (history, alone.history))
    assert losses == pytest.approx(expected, rel=1e-5)
    for name, tensor in alone.best.items():
        assert torch.equal(best[name], other_best[name]), name
        torch.testing.assert_close(best[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def test_no_thread_of_the_group_outlives_it(shared: Path) -> None:
    for rank in range(2):
        assert json.loads((shared / f"threads-{rank}.json").read_text()) == [], rank


def test_the_shards_of_a_batch_hold_every_episode_once(source: Path) -> None:
    events = load(str(source)).dataset.events
    episodes = deal(events, np.arange(7), 4.0, 10, np.random.default_rng(0))
    shards = [np.arange(7)[rank::3] for rank in range(3)]
    pairs = []
    for chosen in shards:
        shard = episodes.select(chosen)
        np.testing.assert_array_equal(shard.support.rows, episodes.support.rows[chosen])
        pairs += zip(chosen[shard.rest[0]], shard.rest[1], shard.rest_liked, strict=True)
    assert sorted(pairs) == sorted(zip(*episodes.rest, episodes.rest_liked, strict=True))


def test_kshot_train_under_torchrun_publishes_one_good_bundle(source: Path, tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "out.json"
    kshot = Path(sys.executable).with_name("kshot")
    options = ["--store", store, "--shots", "0,1,3,5", "--max-epochs", 6, "--max-items", 50, "--json", out]
    finished = torchrun("--no-python", kshot, "train", "--data", source, *options)
    (version,) = finished.stdout.split()
    assert [manifest.version for manifest in Registry(store).manifests()] == [version]
    assert open_bundle(Registry(store).live_folder()).version == version
    results = json.loads(out.read_text())
    assert len(results["training"]["history"]) == 6
    assert results["models"]["kshot"]["5"]["ndcg@10"] > 0.8
