"""The two loops: gradients, invariances, and a resumed training that ends like an uninterrupted one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from model_store.config import TrainingConfig
from model_store.data.episodes import pack_support
from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.errors import TrainingError
from model_store.export.torch_graphs import Vote
from model_store.meta.checkpoint import Checkpoint
from model_store.meta.inner import InnerLoop, Levels, Share
from model_store.meta.network import Network, build, count
from model_store.meta.outer import Outer, Progress, meta_train
from model_store.meta.parts.ease import CoCounts, LinearMemory, ease
from model_store.meta.parts.votes import SHRINKAGE, conditional_neighbours

SHOTS = (0, 1, 3, 5)
CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10, max_epochs=3, patience=3, batch_users=64)


@pytest.fixture(scope="module")
def dataset(source: Path) -> Dataset:
    return load(str(source)).dataset


def inner_loop(seed: int = 0) -> InnerLoop:
    torch.manual_seed(seed)
    levels, liked = Levels(torch.tensor([1.0, 3.0, 5.0])), torch.tensor([-0.5, 0.2, 1.0])
    loop = InnerLoop(4, 3, torch.randn(6, 4), levels, liked, Share(SHOTS), n_attributes=3)
    with torch.no_grad():
        for parameter in loop.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return loop.double()


def support(shots: int, width: int, seed: int = 1) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(1, width, 5, generator=generator, dtype=torch.float64)
    values = torch.randint(1, 6, (1, width), generator=generator).double()
    ages = torch.rand(1, width, generator=generator, dtype=torch.float64) * 30
    mask = torch.zeros(1, width, dtype=torch.float64)
    mask[:, width - shots :] = 1
    ids, weights = torch.tensor([[2, 0]]), torch.tensor([[0.6, -0.8]], dtype=torch.float64)
    return vectors, values, ages, mask, ids, weights


def own_start(loop: InnerLoop) -> torch.Tensor:
    """Where the made-up user of :func:`support` starts."""
    return (loop.start + 0.6 * loop.attribute_vectors()[2] - 0.8 * loop.attribute_vectors()[0]).detach()


def test_one_inner_step_is_the_gradient_of_the_inner_loss() -> None:
    """The step written out by hand against autograd of the loss that the module's docstring states."""
    loop = inner_loop()
    vectors, values, ages, mask, *attributes = support(3, 3)
    weights = loop._event_weights(*(each.unsqueeze(-2) for each in (vectors[..., -1], values, ages, mask))).squeeze(-2)
    start = own_start(loop)
    w = start.detach().clone().requires_grad_()
    total = weights.abs().sum()
    partition = torch.logsumexp(loop.anchors @ w + loop.anchor_bias.squeeze(1), 0)
    pull = (loop.log_pull.exp() * (w - start).square()).sum() / 2
    loss = -(weights[0] * (vectors[0, :, :-1] @ w)).sum() + total * (partition + pull)
    (gradient,) = torch.autograd.grad(loss, w)
    log_k = torch.log1p(mask.sum())
    step = torch.exp(loop.log_step[0] + loop.log_step_by_k[0] * log_k)
    expected = w - step * gradient / (1 + total)

    with torch.no_grad():
        loop.log_step[1:] = -torch.inf  # only the first step moves
    torch.testing.assert_close(loop(vectors, values, ages, mask, *attributes)[0, :-1], expected)


def test_the_outer_gradient_through_the_unrolled_loop_matches_finite_differences() -> None:
    loop = inner_loop()
    names = [name for name, _ in loop.named_parameters()]
    inputs = support(3, 4)

    def state(*parameters: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(loop, dict(zip(names, parameters, strict=True)), inputs)

    parameters = tuple(parameter.detach().clone().requires_grad_() for parameter in loop.parameters())
    assert torch.autograd.gradcheck(state, parameters)


def test_padding_changes_nothing() -> None:
    loop = inner_loop()
    alone = support(3, 3)
    padded = [torch.cat([torch.full_like(each[:, :1], 1), each], dim=1) for each in alone]
    padded[3][:, 0] = padded[5][:, 0] = 0
    torch.testing.assert_close(loop(*alone), loop(*padded))


def test_no_events_leave_a_users_own_start_where_it_is() -> None:
    loop = inner_loop()
    state = loop(*support(0, 1))
    torch.testing.assert_close(state[0, :-1], own_start(loop))
    assert state[0, -1] == loop.log_prior_scale[0].exp()


def test_a_function_over_the_scale_is_linear_between_its_knots_and_level_beyond() -> None:
    levels = Levels(torch.tensor([1.0, 3.0, 5.0]))
    found = levels(torch.tensor([[0.0, 1.0, 2.0, 4.5, 5.0, 9.0]]), torch.tensor([-1.0, 1.0, 5.0]))
    torch.testing.assert_close(found, torch.tensor([[-1.0, -1.0, 0.0, 4.0, 5.0, 5.0]]))


def test_a_share_scales_the_adapted_weights_by_the_number_of_events() -> None:
    loop = inner_loop()
    inputs = {shots: support(shots, 5) for shots in (0, 1, 2, 5)}
    whole = {shots: loop(*each)[0] for shots, each in inputs.items()}
    loop.share.at_knots.copy_(torch.tensor([0.0, 0.5, 0.25, 2.0]))
    between = 0.5 + (0.25 - 0.5) * np.log(3 / 2) / np.log(4 / 2)
    for shots, share in {0: 0.0, 1: 0.5, 2: between, 5: 2.0}.items():
        state = loop(*inputs[shots])[0]
        torch.testing.assert_close(state[:-1], share * whole[shots][:-1])
        torch.testing.assert_close(state[-1], whole[shots][-1])


def test_neighbours_are_conditional_co_counts_best_first() -> None:
    liked = sp.csr_array(np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0]], dtype=np.float32))
    found = conditional_neighbours(liked, 2)
    assert found.rows[0].tolist() == [1, 2]
    np.testing.assert_allclose(found.weights[0], np.array([3, 2]) / (4 + SHRINKAGE))
    assert found.weights[3].tolist() == [0, 0]  # nobody liked it: no neighbours


@pytest.fixture(scope="module")
def network(dataset: Dataset) -> Network:
    return build(dataset, dataset.events, CONFIG, SHOTS)


def test_votes_as_sparse_addends_sum_to_the_dense_ones(network: Network) -> None:
    """Three users in one batch: three events, none, one; against each alone, padded and dense."""
    gate, n_items = network.gate, len(network.own_share)
    supports = [([3, 4, 3], [5.0, 4.0, 1.0]), ([0], [0.0]), ([7], [5.0])]
    shots = torch.tensor([3.0, 0.0, 1.0])
    rows = torch.tensor([row for each, _ in supports for row in each])
    values = torch.tensor([value for _, each in supports for value in each])
    users = torch.tensor([0, 0, 0, 1, 2])
    tilted = network.neighbour_lists()[1][rows]
    found = torch.zeros(3, n_items)
    lists = network.neighbour_rows[rows]
    addends = gate(lists, tilted, values, torch.zeros(5), users, shots)
    found.index_put_(*_places((users.unsqueeze(1).expand_as(lists), lists, addends)))
    for user, (each, theirs) in enumerate(supports):
        lists, weights = network.neighbour_rows[each].unsqueeze(0), network.neighbour_weights[each].unsqueeze(0)
        mask = torch.full((1, 1, len(each)), min(1.0, shots[user].item()))
        votes = gate.event_votes(torch.tensor([[theirs]]), torch.zeros_like(mask), mask)
        expected = gate.dense(lists, weights, votes, shots[user].reshape(1, 1))
        torch.testing.assert_close(found[user], expected[0])
        assert (expected > 0).any() == (shots[user] > 0)


def test_the_linear_memory_votes_as_ease_does(network: Network) -> None:
    liked = sp.csr_array(np.random.default_rng(0).integers(0, 2, (50, 6)).astype(np.float32))
    counts = CoCounts.count(liked, 4)
    memory = LinearMemory(6, 4.0, Share(SHOTS))
    support, values = torch.tensor([[0, 1, 2], [0, 5, 3]]), torch.tensor([[0.0, 5.0, 4.0], [5.0, 5.0, 1.0]])
    mask = torch.tensor([[0.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    assert not memory.dense(support, values, mask).any()
    memory.remember(counts, 10.0, 4)
    weights = np.zeros((6, 6), dtype=np.float32)
    weights[np.ix_(counts.kept, counts.kept)] = ease(counts, 10.0)
    expected = np.stack([weights[1] + weights[2], weights[0] + weights[5]])
    torch.testing.assert_close(memory.dense(support, values, mask), torch.from_numpy(expected))
    memory.remember(counts, 10.0, 1)
    largest = np.abs(weights[counts.kept[0]]).argmax()
    assert memory.rows[counts.kept[0]].tolist() == [largest]


def test_the_graph_of_all_memories_sums_to_the_parts(dataset: Dataset) -> None:
    network = build(dataset, dataset.events, CONFIG, SHOTS)
    liked = count(dataset.events, dataset.n_items, dataset.feedback.liked_at_least).liked
    network.linear.remember(CoCounts.count(liked, dataset.n_items), 10.0, 7)
    network.linear.share.at_knots.copy_(torch.tensor([0.0, 0.5, 1.0, 2.0]))
    support = pack_support(dataset.events, [np.arange(3), np.arange(10, 12)])
    rows, weights = network.neighbour_lists()
    kept = support.mask > 0
    places = support.rows[kept]
    values, ages = (torch.from_numpy(each[kept]) for each in (support.values, support.ages))
    users, shots = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([3.0, 2.0])
    found = torch.zeros(2, dataset.n_items)
    found.index_put_(*_places(Vote(network)(rows[places], weights[places], values, ages, users, shots)))
    parts = network.parts(support)
    assert parts.linear.any()
    torch.testing.assert_close(found, parts.votes + parts.linear)


def _places(addends: tuple[torch.Tensor, ...]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor, bool]:
    users, rows, values = addends
    return (users, rows), values, True


def run(
    dataset: Dataset, config: TrainingConfig, checkpoint: Checkpoint | None = None, stop_after: int = 99
) -> Progress:
    network = build(dataset, dataset.events, config, SHOTS)
    outer = Outer.begin(network, config)
    progress = checkpoint.resume(outer) if checkpoint else Progress()

    def on_epoch(now: Progress) -> None:
        if checkpoint:
            checkpoint.save(outer, now, every_s=0)
        if now.epoch == stop_after:
            raise KeyboardInterrupt

    def validate(_network: Network) -> float:
        return float(len(progress.history))

    return meta_train(outer, dataset, dataset.events, validate, config, progress=progress, on_epoch=on_epoch)


def same(one: Progress, other: Progress) -> bool:
    losses = [[row["loss"] for row in progress.history] for progress in (one, other)]
    return losses[0] == losses[1] and all(torch.equal(one.best[name], other.best[name]) for name in one.best)


def test_one_seed_gives_one_result(dataset: Dataset) -> None:
    assert same(run(dataset, CONFIG), run(dataset, CONFIG))
    assert not same(run(dataset, CONFIG), run(dataset, CONFIG.model_copy(update={"seed": 1})))


def test_an_interrupted_training_resumes_to_the_same_result(dataset: Dataset, tmp_path: Path) -> None:
    uninterrupted = run(dataset, CONFIG)
    with pytest.raises(KeyboardInterrupt):
        run(dataset, CONFIG, Checkpoint(tmp_path, "sha", CONFIG), stop_after=2)
    resumed = run(dataset, CONFIG, Checkpoint(tmp_path, "sha", CONFIG))
    assert same(uninterrupted, resumed)


def test_another_configuration_does_not_resume(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(dataset, CONFIG, Checkpoint(tmp_path, "sha", CONFIG), stop_after=1)
    other = CONFIG.model_copy(update={"learning_rate": 1e-3})
    network = build(dataset, dataset.events, other, SHOTS)
    assert Checkpoint(tmp_path, "sha", other).resume(Outer.begin(network, other)).epoch == 0


def test_a_damaged_checkpoint_is_named(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(dataset, CONFIG, Checkpoint(tmp_path, "sha", CONFIG), stop_after=1)
    (saved,) = tmp_path.glob("*.pt")
    saved.write_bytes(saved.read_bytes()[:100])
    with pytest.raises(TrainingError, match=saved.name):
        run(dataset, CONFIG, Checkpoint(tmp_path, "sha", CONFIG))


def test_a_loss_that_explodes_stops_the_training(dataset: Dataset) -> None:
    with pytest.raises(
        TrainingError, match="look for outliers among the values of the data, or train with another --seed"
    ):
        run(dataset, CONFIG.model_copy(update={"learning_rate": 1e30}))


def test_a_checkpoint_that_cannot_be_written_ends_the_training_with_one_line(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(TrainingError, match=r"checkpoint cannot be written \(.*\); .* or use another folder"):
        run(dataset, CONFIG, Checkpoint(tmp_path / "checkpoints", "sha", CONFIG), stop_after=1)
