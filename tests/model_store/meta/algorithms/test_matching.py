"""Matching networks: softmax attention over the support, against NumPy."""

from __future__ import annotations

import numpy as np
from made_up_supports import one_user, padded, perturbed, without_attributes

from model_store.meta.algorithms.matching import Matching


def test_matching_is_softmax_attention() -> None:
    module, supports = perturbed(Matching), without_attributes(one_user(4))
    values, ages = supports.events.values[0].numpy(), supports.events.ages[0].numpy()
    p = {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}
    x, knots = supports.events.vectors[0].numpy(), np.array([1.0, 3.0, 5.0])
    logits = (x @ p["query"])[:, 0] / 2 + np.interp(values, knots, p["attention_by_value"])
    logits -= np.log1p(np.exp(p["decay"] - 4)) * np.log1p(ages)
    attention = np.exp(logits) / np.exp(logits).sum()
    labels = np.interp(values, knots, p["label"])
    scale = np.exp(p["log_scale"][0] + p["log_scale"][1] * np.log(5))
    matched = sum(a * y * p["embedding"] @ vector for a, y, vector in zip(attention, labels, x, strict=True))
    weights = module(padded(supports, before=1))[0, 0].detach().numpy()
    np.testing.assert_allclose(weights, p["start"] + scale * matched)
