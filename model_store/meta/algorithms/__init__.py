"""Meta-learning algorithms, one a file, behind one interface: :class:`~model_store.meta.outer.Algorithm`.

All share the network (item vectors, prior, memories, calibrated shares) and its export. An algorithm says how a
support becomes ``user_state`` and what an outer step does, so a bundle serves any of them alike.
"""

from __future__ import annotations

from model_store.config import AlgorithmName, TrainingConfig
from model_store.data.schema import Dataset, Events
from model_store.meta.algorithms import anil, fomaml, joint, kshot, maml, matching, reptile
from model_store.meta.network import build
from model_store.meta.outer import Algorithm, Outer

ALGORITHMS: dict[AlgorithmName, Algorithm] = {
    AlgorithmName.KSHOT: kshot.ALGORITHM,
    AlgorithmName.MAML: maml.ALGORITHM,
    AlgorithmName.FOMAML: fomaml.ALGORITHM,
    AlgorithmName.REPTILE: reptile.ALGORITHM,
    AlgorithmName.ANIL: anil.ALGORITHM,
    AlgorithmName.MATCHING: matching.ALGORITHM,
    AlgorithmName.JOINT: joint.ALGORITHM,
}


def begin(dataset: Dataset, training: Events, config: TrainingConfig, shots: tuple[int, ...]) -> Outer:
    """The outer loop of ``config.algorithm`` at its start; arguments as for ``network.build``."""
    algorithm = ALGORITHMS[config.algorithm]
    network = build(dataset, training, config, shots, algorithm.adaptation)
    algorithm.prepare(network, training)
    return Outer.begin(network, config, algorithm)
