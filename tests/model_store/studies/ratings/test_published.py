"""Published figures are shown for the paper's data and division only."""

from __future__ import annotations

from model_store.bundle.manifest import DataFingerprint
from model_store.studies.ratings.published import published
from model_store.studies.ratings.quadrants import QUADRANTS


def data_of(users: int, events: int) -> DataFingerprint:
    return DataFingerprint(source="x", sha256="0" * 64, users=users, items=3883, events=events)


def test_figures_are_published_for_ml_1m_in_the_papers_division_only() -> None:
    figures = published(data_of(6040, 1_000_209), "year >= 1998")
    assert [figures["MeLU (the paper)"][name]["mae"].mean for name in QUADRANTS] == [
        0.75,
        0.79,
        0.92,
        0.92,
    ]
    assert published(data_of(6040, 1_000_209), "year >= 1999") == {}
    assert published(data_of(671, 100_004), "year >= 1998") == {}
