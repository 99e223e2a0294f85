"""The profile of a training finds its parts by the functions themselves."""

from __future__ import annotations

import cProfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from loadtests.training.profile import PARTS, part_seconds, profile_key
from model_store.baselines.ials import IALS


def test_every_part_is_defined_where_the_profiler_will_see_it() -> None:
    keys = [profile_key(function) for function in PARTS.values()]
    assert len(set(keys)) == len(PARTS)
    for file, line, name in keys:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
        assert any(f"def {name}(" in text for text in lines[line - 1 : line + 8]), (file, line, name)


def test_a_part_that_ran_is_timed() -> None:
    liked = sp.csr_array(np.eye(8, dtype=np.float32))
    profile = cProfile.Profile()
    profile.runcall(IALS.fit, liked, 4.0, dim=2, regularisation=0.1, unobserved_weight=0.1, seed=0)
    assert set(part_seconds(profile)) == {" fitting iALS"}
