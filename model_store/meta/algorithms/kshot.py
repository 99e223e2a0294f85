"""The product's default: a softmax inner loss over learned anchors, step sizes by step, coordinate and k.

MAML (Finn et al. 2017, arXiv:1703.03400) with the step sizes of Meta-SGD (Li et al. 2017, arXiv:1707.09835), and with
an inner loss whose event weights, decay and pull are meta-learned too; ``meta.inner`` states it.
"""

from __future__ import annotations

from model_store.meta.inner import InnerLoop
from model_store.meta.outer import Algorithm, episode_step

ALGORITHM = Algorithm(adaptation=InnerLoop, step=episode_step)
