"""Baselines for items without history: content finds the topic of a new item, a random order does not."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from topics import N_ITEMS, TOPICS, dataset_of, held_out_items

from model_store.evaluation.protocol import KShot, evaluate
from model_store.studies.new_items.content_baselines import NewItemTuner
from model_store.studies.new_items.protocol import new_item_tasks, without_items


def test_tuned_content_knn_ranks_the_topic_first_and_random_does_not():
    rng = np.random.default_rng(0)
    histories = []
    for user in range(60):
        on_topic = [item for item in range(N_ITEMS) if item % TOPICS == user % TOPICS]
        histories.append([(int(item), 5.0) for item in rng.permutation(on_topic)])
    dataset, held_out = dataset_of(*histories), held_out_items(0, 1, 2, 3)
    remaining = without_items(dataset, held_out)
    events = remaining.events
    tasks = new_item_tasks(dataset, held_out, np.arange(60), KShot((0, 1, 3), 4))
    liked = sp.csr_array((np.ones(len(events.items)), events.items, events.indptr), shape=(60, N_ITEMS))
    ndcg = {
        name: evaluate(tuned.recommender, tasks)[1].per_user["ndcg@10"].mean()
        for name, tuned in NewItemTuner(remaining, liked, held_out, tasks).baselines()
    }
    assert ndcg["content-kNN"] == ndcg["content-kNN + popularity"] == pytest.approx(1)
    assert ndcg["random"] < 0.8
