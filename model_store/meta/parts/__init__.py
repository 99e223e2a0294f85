"""The parts: the summands of the score, one per file, in the order in which they are added up."""

from __future__ import annotations

from model_store.meta.parts.dense import Dense
from model_store.meta.parts.ease import EaseMemory
from model_store.meta.parts.part import Part
from model_store.meta.parts.prior import Prior
from model_store.meta.parts.votes import Votes

PARTS: tuple[type[Part], ...] = (Dense, Votes, EaseMemory, Prior)
