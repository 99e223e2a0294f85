"""Meta-learning algorithms, one per file, behind one interface: :class:`~model_store.meta.outer.Algorithm`.

All share the network (item vectors, parts and their weights) and its export. An algorithm supplies the adaptation of
the dense part and the outer step, so a bundle serves any of them alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from model_store.config import AlgorithmName, TrainingConfig
from model_store.data.schema import Dataset, Events
from model_store.meta.algorithms import anil, fomaml, joint, kshot, maml, matching, reptile
from model_store.meta.network import build
from model_store.meta.outer import Algorithm, Outer
from model_store.meta.parts import PARTS
from model_store.meta.parts.part import Part

ALGORITHMS: dict[AlgorithmName, Algorithm] = {
    AlgorithmName.KSHOT: kshot.ALGORITHM,
    AlgorithmName.MAML: maml.ALGORITHM,
    AlgorithmName.FOMAML: fomaml.ALGORITHM,
    AlgorithmName.REPTILE: reptile.ALGORITHM,
    AlgorithmName.ANIL: anil.ALGORITHM,
    AlgorithmName.MATCHING: matching.ALGORITHM,
    AlgorithmName.JOINT: joint.ALGORITHM,
}


def begin(
    dataset: Dataset,
    training: Events,
    config: TrainingConfig,
    shots: tuple[int, ...],
    parts: Sequence[type[Part]] = PARTS,
) -> Outer:
    """The outer loop of ``config.algorithm`` at its start; arguments as for ``network.build``."""
    algorithm = ALGORITHMS[config.algorithm]
    network = build(dataset, training, config, shots, algorithm.adaptation, parts)
    algorithm.prepare(network, training)
    return Outer.begin(network, config, algorithm)
