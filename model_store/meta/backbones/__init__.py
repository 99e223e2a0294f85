"""Backbones, one per file, by their name in the configuration."""

from __future__ import annotations

from collections.abc import Callable

import torch

from model_store.config import BackboneName
from model_store.meta.backbones.backbone import Backbone, BackboneSpec
from model_store.meta.backbones.identity import Identity

__all__ = ["BACKBONES", "Backbone", "BackboneSpec", "make_backbone"]

BACKBONES: dict[BackboneName, Callable[[BackboneSpec], Backbone]] = {
    BackboneName.IDENTITY: Identity,
}


def make_backbone(name: BackboneName, spec: BackboneSpec, seed: int) -> Backbone:
    """The backbone of that name at its start; one seed gives one start, and no other random number changes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BACKBONES[name](spec)
