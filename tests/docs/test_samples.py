"""Samples of Python in the documents run, and are what their page says."""

from __future__ import annotations

from typing import Any

import torch
from documents import ROOT, blocks

from model_store.meta.backbones import Backbone, BackboneSpec
from model_store.meta.outer import Algorithm
from model_store.meta.supports import EventBatch


def run(page: str) -> dict[str, Any]:
    """The names that the samples of a page define."""
    names: dict[str, Any] = {}
    for block in blocks(ROOT / page):
        if block.language == "python":
            exec(compile(block.code, str(block), "exec"), names)
    return names


def test_the_sample_of_an_algorithm_is_one() -> None:
    names = run("docs/howto/new-algorithm.md")
    assert isinstance(names["ALGORITHM"], Algorithm)
    assert names["ALGORITHM"].step is names["step"]


def test_the_sample_of_a_backbone_keeps_to_the_contract() -> None:
    sample = run("docs/howto/new-backbone.md")["RunningMean"](BackboneSpec(dim=4, max_support=8))
    assert isinstance(sample, Backbone)
    vectors, mask = torch.randn(2, 5, 4), torch.tensor([[1.0, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    events = EventBatch(vectors, torch.zeros(2, 5, 1), torch.ones(2, 5), torch.zeros(2, 5))
    short = EventBatch(*(column[1:, :2] for column in events))
    mixed = sample(events, mask)
    assert mixed.shape == vectors.shape
    assert torch.equal(mixed[1, :2], sample(short, mask[1:, :2])[0])
    assert not torch.equal(mixed[0, 1], sample(events._replace(vectors=vectors.flip(1)), mask)[0, 3])
