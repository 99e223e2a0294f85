import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from likes import LIKED_AT_LEAST, liked_of, random_liked, tasks_of

from model_store.baselines.grids import BETAS, GRIDS, shortlist
from model_store.baselines.ials import IALS
from model_store.baselines.item_item import ItemItem, item_knn
from model_store.baselines.popularity import Popularity, WithPopularity
from model_store.baselines.tuning import Tuned, Tuner
from model_store.config import Sweep
from model_store.evaluation.figures import HEADLINE
from model_store.evaluation.protocol import Tasks, evaluate
from model_store.meta.parts.ease import CoCounts, ease


def distracted() -> tuple[sp.csr_array, Tasks, int]:
    """Likes among which only a shrunk neighbour with a large weight ranks the partner of item 0 first.

    Item 0 has 4 likes. Item 1 is its true partner: 4 of its 100 likes are shared with item 0. Item 2 has a single
    like, shared by chance, hence the higher cosine. Item 3 is popular, with 1,000 likes. By hand for item-kNN at
    k = 1: without shrinkage, item 3 stays first for β up to 10 (item 1 gains .2 β on a lead of 2.3 =
    log(1001 / 101)), and item 2 (.5 β) is first from 30 on. With shrinkage 10, item 1 gains β · 4 / 30, enough from
    β = 30 on, and item 2 stays behind with β · 1 / 12.
    """
    users = [[0, 1, 2], *[[0, 1]] * 3, *[[1]] * 96, *[[3]] * 1000]
    n_items = 4
    return liked_of(*users, n_items=n_items), tasks_of([(0, 1)] * 5, n_items), n_items


def tuned_on(liked: sp.csr_array, validation: Tasks, **options) -> dict[str, Tuned]:
    options = {"max_items": liked.shape[1], "sweep": Sweep.QUICK} | options
    return dict(Tuner(liked, LIKED_AT_LEAST, validation, **options).baselines())


@pytest.fixture(scope="module")
def tuned() -> dict[str, Tuned]:
    liked, validation, _ = distracted()
    return tuned_on(liked, validation)


def test_tuning_chooses_the_only_candidate_with_a_hit(tuned):
    _, validation, _ = distracted()
    assert tuned["item-kNN"].tuning.choice[1] == {"shrinkage": 10.0, "beta": 30.0}
    assert evaluate(tuned["item-kNN"].recommender, validation)[1].per_user[HEADLINE] == pytest.approx(1)


def test_the_baselines_are_all_those_of_the_protocol(tuned):
    assert list(tuned) == ["popularity", "item-kNN", "EASE", "iALS", "multi-VAE"]


@pytest.mark.parametrize("name", ["item-kNN", "EASE", "iALS"])
def test_without_events_nothing_beats_popularity_and_the_earliest_candidate_is_kept(tuned, name):
    earliest = {parameter: values[0] for parameter, values in GRIDS[Sweep.QUICK][name].items()}
    assert tuned[name].tuning.choice[0] == {**earliest, "beta": BETAS[0]}


def test_a_tuning_reports_its_grid_and_its_choice(tuned):
    assert tuned["popularity"].tuning.grid == {}
    for name, grid in GRIDS[Sweep.QUICK].items():
        tuning = tuned[name].tuning
        assert tuning.grid == {**grid, "beta": BETAS}
        for choice in tuning.choice.values():
            assert all(choice[parameter] in values for parameter, values in tuning.grid.items())


def halves() -> tuple[sp.csr_array, Tasks]:
    """Likes that lean to one half of 40 items, and users whose query is in the half of their support."""
    rng = np.random.default_rng(1)
    pairs = [tuple(rng.choice(20, 2, replace=False) + 20 * rng.integers(2)) for _ in range(60)]
    return sp.csr_array(random_liked(n_items=40)), tasks_of(pairs, 40)


def candidate(name: str, liked: sp.csr_array, settings: dict[str, float]):
    if name == "iALS":
        return IALS.fit(liked, LIKED_AT_LEAST, **settings)
    counts = CoCounts.count(liked, 40)
    weights = {"EASE": ease, "item-kNN": item_knn}[name](counts, *settings.values())
    return ItemItem(weights, counts.kept, 40, LIKED_AT_LEAST)


@pytest.mark.parametrize("name", ["item-kNN", "EASE", "iALS"])
def test_no_candidate_is_better_on_validation_than_the_chosen_one(name):
    liked, validation = halves()
    popularity, grid = Popularity.fit(liked), GRIDS[Sweep.QUICK][name]
    models = [
        candidate(name, liked, dict(zip(grid, values, strict=True))) for values in itertools.product(*grid.values())
    ]
    mixes = [evaluate(WithPopularity(model, popularity, beta), validation) for model in models for beta in BETAS]
    chosen = evaluate(tuned_on(liked, validation)[name].recommender, validation)
    for shots, judgement in chosen.items():
        best = max(mix[shots].per_user[HEADLINE].mean() for mix in mixes)
        assert judgement.per_user[HEADLINE].mean() == pytest.approx(best)


def test_a_restricted_baseline_says_so():
    liked, validation, _ = distracted()
    tuned = tuned_on(liked, validation, max_items=3)
    for name in ("item-kNN", "EASE", "multi-VAE"):
        assert tuned[name].tuning.note == "covers the 3 most liked of 4 items"
    assert tuned["popularity"].tuning.note == tuned["iALS"].tuning.note == ""


def test_every_candidate_is_announced():
    liked, validation, _ = distracted()
    steps: list[str] = []
    tuned_on(liked, validation, on_step=steps.append)
    assert steps[0] == "item-kNN, shrinkage 0"
    assert steps[-1] == "multi-VAE, hidden 100, dropout 0.5, kl_weight 0.2"
    sizes = [np.prod([len(values) for values in grid.values()]) for grid in GRIDS[Sweep.QUICK].values()]
    assert len(steps) == sum(sizes)


def test_a_sweep_on_record_is_not_repeated(tuned):
    liked, validation, _ = distracted()
    recorded = {name: baseline.tuning for name, baseline in tuned.items()}
    steps = []
    again = tuned_on(liked, validation, shortlist=shortlist(recorded, Sweep.QUICK), on_step=steps.append)
    for name, baseline in again.items():
        assert baseline.tuning.choice == recorded[name].choice
    assert sum(step.startswith("item-kNN") for step in steps) < len(GRIDS[Sweep.QUICK]["item-kNN"]["shrinkage"])
