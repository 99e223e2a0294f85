"""The runtime ranks what the graphs compute; masks are exact, whatever they allow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_store.bundle import (
    NO_BIASES,
    NO_SUPPORT,
    AllowedRows,
    Biases,
    RankRequest,
    Registry,
    Runtime,
    UserSupport,
    exclusion,
    open_bundle,
)
from model_store.bundle.allowed import MAX_OVERFETCH

N_ITEMS = 240


@pytest.fixture(scope="module")
def runtime(trained_store: Path) -> Runtime:
    return open_bundle(Registry(trained_store).live_folder()).runtime


def user_of(rng: np.random.Generator, shots: int) -> UserSupport:
    rows, values = rng.integers(0, N_ITEMS, shots), rng.integers(1, 6, shots).astype(np.float32)
    return UserSupport.encode(rows, values, np.sort(rng.random(shots)) * 1e7)


def request_of(runtime: Runtime, rng: np.random.Generator, length: int, share: float | None = None) -> RankRequest:
    """A user of up to 20 events, with boosts and exclusions, and a mask that allows about ``share`` of the rows."""
    user = user_of(rng, int(rng.integers(0, 20)))
    excluded = rng.integers(0, N_ITEMS, int(rng.integers(0, 40)))
    boosted = rng.integers(0, N_ITEMS, 10)
    values = np.concatenate([np.full(len(excluded), -np.inf), rng.normal(0, 1, 10)]).astype(np.float32)
    biases = Biases(np.concatenate([excluded, boosted]), values)
    allowed = None if share is None else AllowedRows(rng.random(N_ITEMS) < share)
    return RankRequest(runtime.adapt([user])[0], user, biases, length, allowed)


def check(runtime: Runtime, request: RankRequest) -> None:
    """The list is the brute-force one, up to ties and quantisation."""
    (ranked,), (exact,) = runtime.rank([request]), runtime.exact_scores([request])
    if request.allowed is not None:
        exact[~request.allowed.mask] = -np.inf
    best = np.sort(exact)[::-1][: request.length]
    best = best[np.isfinite(best)]
    assert len(set(ranked.rows)) == len(ranked.rows) == len(best)
    np.testing.assert_allclose(exact[ranked.rows], best, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(ranked.scores, best, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("share", [None, 0.0, 0.01, 0.1, 0.5, 0.95, 1.0])
def test_a_list_is_that_of_brute_force(runtime: Runtime, share: float | None) -> None:
    rng = np.random.default_rng(0)
    for length in (1, 5, 20, 60, 300):
        check(runtime, request_of(runtime, rng, length, share))


def test_a_mask_of_the_items_with_the_lowest_scores_is_exact(runtime: Runtime) -> None:
    """The longer list then holds too few allowed rows, and the user is ranked once more."""
    rng = np.random.default_rng(2)
    request = request_of(runtime, rng, 10)
    (exact,) = runtime.exact_scores([request])
    check(runtime, request._replace(allowed=AllowedRows(exact < np.quantile(exact, 0.6))))


def test_users_of_a_batch_get_the_lists_that_they_get_alone(runtime: Runtime) -> None:
    rng = np.random.default_rng(3)
    shares = [None, 0.3, 0.9, None, 0.0, 0.9, None, None, 0.5, None, 0.95]
    requests = [request_of(runtime, rng, 10 + index, share) for index, share in enumerate(shares)]
    assert runtime.rank(requests) == [ranked for request in requests for ranked in runtime.rank([request])]


def test_users_adapt_to_the_same_bits_in_any_batch(runtime: Runtime) -> None:
    rng = np.random.default_rng(4)
    users = [NO_SUPPORT, *(user_of(rng, shots) for shots in rng.integers(1, 60, 40))]
    alone = [runtime.adapt([user])[0].tobytes() for user in users]
    assert [state.tobytes() for state in runtime.adapt(users)] == alone


def test_an_empty_batch_has_no_lists(runtime: Runtime) -> None:
    assert runtime.rank([]) == []


def test_excluded_rows_are_absent(runtime: Runtime) -> None:
    (state,) = runtime.adapt([NO_SUPPORT])
    (whole,) = runtime.rank([RankRequest(state, NO_SUPPORT, NO_BIASES, 50)])
    gone = np.array(whole.rows[:30])
    (rest,) = runtime.rank([RankRequest(state, NO_SUPPORT, exclusion(gone), 20)])
    assert not set(rest.rows) & set(gone.tolist())
    assert rest.scores == pytest.approx(whole.scores[30:])


def test_the_length_to_cut_down_grows_with_the_rows_that_are_not_allowed() -> None:
    n_items = 100_000
    masks = {share: AllowedRows(np.arange(n_items) < share * n_items) for share in (1.0, 0.9, 0.5, 0.0, 0.01)}
    lengths = {share: allowed.overfetch(20) for share, allowed in masks.items()}
    assert lengths[0.0] is lengths[0.01] is None
    assert lengths[1.0] < lengths[0.9] < lengths[0.5] <= n_items * MAX_OVERFETCH
