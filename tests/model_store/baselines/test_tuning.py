import itertools

import numpy as np
import orjson
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from likes import LIKED_AT_LEAST, liked_of, random_liked, tasks_of

from model_store.baselines import IALS, ItemItem, Popularity, WithPopularity, item_knn, mixing
from model_store.baselines.tuning import BETAS, GRIDS, Tuned, Tuner, shortlist
from model_store.config import Sweep
from model_store.evaluation.protocol import HEADLINE, KShot, Tasks, evaluate
from model_store.meta.parts.ease import CoCounts, ease


class Fixed:
    """Given scores, one row a user of the tasks."""

    def __init__(self, scores):
        self.scores = scores

    def score(self, support):
        return self.scores[: len(support.rows)]


class TestMixing:
    @given(
        arrays(np.float32, (2, 300), elements=st.sampled_from([-2, 0, 0, 0, 0.5, 1, 4])),
        arrays(np.float32, 300, elements=st.sampled_from([-4, -3, -1])),
        st.sets(st.integers(0, 299), max_size=150),
        st.sets(st.integers(0, 299), min_size=1, max_size=20),
    )
    def test_a_mix_is_judged_as_if_it_were_alone(self, scores, log_popularity, masked, query):
        """Powers of two, so that nothing is rounded and all ties are true ones."""
        masked, query = (np.array(sorted(each), dtype=np.int32) for each in (masked, query - masked or {299}))
        two = tasks_of([(0, 1)] * 2, 300)
        tasks = Tasks(KShot((0, 1), 2), two.events, two.users, [query] * 2, [np.setdiff1d(masked, query)] * 2, 300)
        model, popularity, betas = Fixed(scores), Popularity(log_popularity), (0.5, 2.0, 64.0)
        expected = [
            evaluate(WithPopularity(model, popularity, beta), tasks)[1].per_user[HEADLINE].mean() for beta in betas
        ]
        np.testing.assert_allclose(mixing.mixed_headline(model, popularity, betas, tasks, 1), expected, rtol=1e-12)

    def test_a_catalogue_smaller_than_the_list_is_enough(self):
        tasks, popularity = tasks_of([(0, 1), (1, 2)], 3), Popularity(np.array([0, -1, -2], dtype=np.float32))
        scores = mixing.mixed_headline(Fixed(np.zeros((2, 3), dtype=np.float32)), popularity, (1.0,), tasks, 1)
        assert scores == pytest.approx((1 + 1 / np.log2(3)) / 2)

    def test_masking_leaves_the_scores_of_the_model_as_they_were(self):
        scores = np.ones((1, 3), dtype=np.float32)
        mixing.mixed_headline(
            Fixed(scores), Popularity(np.zeros(3, dtype=np.float32)), (1.0,), tasks_of([(0, 1)], 3), 1
        )
        assert (scores == 1).all()


def distracted() -> tuple[sp.csr_array, Tasks, int]:
    """Likes among which only a shrunk neighbour, weighed heavily, finds what belongs to item 0.

    Item 0 has 4 likes. Item 1 is its true partner, 4 of its 100 likes came together with item 0; item 2 has a
    single like, by chance together with item 0, hence the higher cosine; item 3 is merely popular with 1,000.
    Worked by hand for item-kNN at k = 1: without shrinkage, β up to 10 leaves item 3 first (item 1 gains .2 β on
    its lead of 2.3 = log(1001 / 101)), and from 30 on item 2 (.5 β) is. With shrinkage 10 item 1 gains β · 4 / 30,
    enough from β = 30 on, and item 2 stays behind with β · 1 / 12.
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


def test_tuning_finds_the_only_candidate_that_answers(tuned):
    _, validation, _ = distracted()
    assert tuned["item-kNN"].choice[1] == {"shrinkage": 10.0, "beta": 30.0}
    assert evaluate(tuned["item-kNN"].recommender, validation)[1].per_user[HEADLINE] == pytest.approx(1)


def test_the_baselines_are_all_those_of_the_protocol(tuned):
    assert list(tuned) == ["popularity", "item-kNN", "EASE", "iALS", "multi-VAE"]


@pytest.mark.parametrize("name", ["item-kNN", "EASE", "iALS"])
def test_without_events_nothing_beats_popularity_and_the_earliest_candidate_is_kept(tuned, name):
    earliest = {parameter: values[0] for parameter, values in GRIDS[Sweep.QUICK][name].items()}
    assert tuned[name].choice[0] == {**earliest, "beta": BETAS[0]}


def test_what_was_tried_is_told(tuned):
    assert tuned["popularity"].grid == {}
    for name, grid in GRIDS[Sweep.QUICK].items():
        assert tuned[name].grid == {**grid, "beta": BETAS}
        for choice in tuned[name].choice.values():
            assert all(choice[parameter] in values for parameter, values in tuned[name].grid.items())


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


def test_a_full_sweep_tries_everything_that_a_quick_one_does_or_its_neighbours():
    for name, quick in GRIDS[Sweep.QUICK].items():
        full = GRIDS[Sweep.FULL][name]
        assert list(full) == list(quick)
        for parameter, values in quick.items():
            assert set(values) <= set(full[parameter])


def test_a_restricted_baseline_says_so():
    liked, validation, _ = distracted()
    tuned = tuned_on(liked, validation, max_items=3)
    for name in ("item-kNN", "EASE", "multi-VAE"):
        assert tuned[name].note == "covers the 3 most liked of 4 items"
    assert tuned["popularity"].note == tuned["iALS"].note == ""


def test_each_candidate_is_announced():
    liked, validation, _ = distracted()
    said: list[str] = []
    tuned_on(liked, validation, on_step=said.append)
    assert said[0] == "item-kNN, shrinkage 0"
    assert said[-1] == "multi-VAE, hidden 100, dropout 0.5, kl_weight 0.2"
    tried = [np.prod([len(values) for values in grid.values()]) for grid in GRIDS[Sweep.QUICK].values()]
    assert len(said) == sum(tried)


def test_a_sweep_that_is_on_record_is_not_run_again(tuned):
    liked, validation, _ = distracted()
    recorded = orjson.loads(orjson.dumps({name: each.as_dict() for name, each in tuned.items()}))
    fitted = []
    again = tuned_on(liked, validation, shortlist=shortlist(recorded, Sweep.QUICK), on_step=fitted.append)
    assert {name: each.choice for name, each in again.items()} == {name: each.choice for name, each in tuned.items()}
    assert sum(step.startswith("item-kNN") for step in fitted) < len(GRIDS[Sweep.QUICK]["item-kNN"]["shrinkage"])


def test_a_sweep_over_another_grid_says_nothing(tuned):
    recorded = orjson.loads(orjson.dumps({name: each.as_dict() for name, each in tuned.items()}))
    assert shortlist(recorded, Sweep.FULL) == {}
