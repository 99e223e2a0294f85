"""Synthetic bundles of any catalogue size. Their lists mean nothing; their shapes and costs are real.

Popularity has a long tail and the norms of vectors are log-normal, which makes quantisation and selection hard. A
vector is the sum of a random vector of its item and one of its item's kind, and every user likes a few kinds, so that
the first stage of an approximate bundle has clusters to find.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch

from model_store.bundle import FeedbackSpec, Registry
from model_store.bundle.manifest import DataFingerprint
from model_store.config import IndexName, TrainingConfig
from model_store.data.schema import Dataset, Events, ItemFeatures
from model_store.export import write_draft
from model_store.meta.inner import InnerLoop, Levels
from model_store.meta.items.encoder import ItemEncoder
from model_store.meta.network import Network, assemble
from model_store.meta.parts.part import FittedPart, Ingredients, NeighbourLists
from model_store.meta.statistics import Statistics

VALUES = np.arange(1, 6, dtype=np.float32)
WEIGHTS = torch.tensor([-0.3, -0.1, 0.1, 0.7, 1.0])  # weight of an untrained event of each value
USERS = 100_000
SHOTS = (0, 1, 3, 5, 10, 20)
KINDS = 500
USERS_WITH_EVENTS, KINDS_PER_USER, EVENTS_PER_KIND = 2_000, 3, 20


def synthetic_bundle(folder: Path, n_items: int, seed: int, index: IndexName = IndexName.EXACT) -> Path:
    """Publish a bundle of ``n_items`` items with the ids "i0", "i1", …: untrained, with its parity checked.

    Args:
        folder: bundles folder; created if need be.
        n_items: rows of the catalogue, at least 256.
        seed: the bundle is a function of it.
        index: exact or approximate search.

    Returns:
        ``folder``.

    Raises:
        ExportRefused: a graph misses its parity with torch, or an index its recall.
    """
    config = TrainingConfig(seed=seed, index=index)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    registry = Registry(folder)
    with write_draft(registry, _dataset(n_items, rng), _network(n_items, config, rng), config) as draft:
        draft.publish(registry, results={})
    return folder


def _network(n_items: int, config: TrainingConfig, rng: np.random.Generator) -> Network:
    liked_by = USERS / np.arange(1, n_items + 1)  # Zipf with exponent 1
    prior = torch.from_numpy(np.log(liked_by + 1)).float()
    encoder = ItemEncoder(_vectors(n_items, config.dim, rng), _no_features(n_items), prior - prior.mean(), 0.0)
    ingredients = Ingredients(
        config=config,
        shots=SHOTS,
        encoder=encoder,
        statistics=Statistics(sp.csr_array((USERS, n_items), dtype=np.float32), liked_by),
        levels=Levels(torch.from_numpy(VALUES)),
        event_weight=WEIGHTS,
        weighted_likes=False,
        liked_at_least=4.0,
        n_attributes=0,
        adaptation=InnerLoop,
    )
    network = assemble(ingredients)
    for part in network.list_parts:
        part.replace_lists(_lists(n_items, config.neighbours, rng, signed=isinstance(part, FittedPart)))
    return network


def _vectors(n_items: int, dim: int, rng: np.random.Generator) -> torch.Tensor:
    norms = rng.lognormal(0.0, 0.5, (n_items, 1))
    kind_vectors = rng.standard_normal((KINDS, dim))[np.arange(n_items) % KINDS]
    return torch.from_numpy(norms * (kind_vectors + rng.standard_normal((n_items, dim))) / np.sqrt(2 * dim)).float()


def _no_features(n_items: int) -> torch.Tensor:
    indices, values = torch.empty((2, 0), dtype=torch.long), torch.empty(0)
    return torch.sparse_coo_tensor(indices, values, (n_items, 1), check_invariants=True).coalesce()


def _lists(n_items: int, length: int, rng: np.random.Generator, *, signed: bool) -> NeighbourLists:
    """Random neighbours of every item, with weights like those of votes or, signed, of a regression."""
    rows = torch.from_numpy(rng.integers(0, n_items, (n_items, length)))
    if signed:
        return NeighbourLists(rows, 0.05 * torch.from_numpy(rng.standard_normal((n_items, length), dtype=np.float32)))
    weights = np.sort(rng.beta(1, 20, (n_items, length)).astype(np.float32))[:, ::-1].copy()
    return NeighbourLists(rows, torch.from_numpy(weights))


def _dataset(n_items: int, rng: np.random.Generator) -> Dataset:
    kinds = rng.integers(0, min(KINDS, n_items), (USERS_WITH_EVENTS, KINDS_PER_USER, 1))
    # Within a kind, popular items are more frequent.
    ranks = (n_items // KINDS) ** rng.random((USERS_WITH_EVENTS, KINDS_PER_USER, EVENTS_PER_KIND))
    items = np.minimum(kinds + KINDS * ranks.astype(np.int32), n_items - 1)
    items = rng.permuted(items.reshape(USERS_WITH_EVENTS, -1), axis=1).ravel().astype(np.int32)
    starts = np.arange(0, len(items) + 1, KINDS_PER_USER * EVENTS_PER_KIND)
    values = rng.choice(VALUES[2:], len(items))
    values[: len(VALUES)] = VALUES
    events = Events(starts, items, values, np.zeros(len(items)))
    return Dataset(
        user_ids=[f"u{user}" for user in range(USERS_WITH_EVENTS)],
        item_ids=[f"i{row}" for row in range(n_items)],
        titles=[f"Synthetic item {row}" for row in range(n_items)],
        events=events,
        has_order=True,
        has_time=False,
        feedback=FeedbackSpec(value_min=1, value_max=5, liked_at_least=4, types={"like": 5, "dislike": 1}),
        features=ItemFeatures(
            ["synthetic"], np.zeros(n_items + 1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
        ),
        fingerprint=DataFingerprint(
            source="synthetic", sha256="", users=USERS_WITH_EVENTS, items=n_items, events=len(items)
        ),
    )
