"""Multi-VAE: a variational autoencoder of whole profiles under a multinomial likelihood.

Liang, Krishnan, Hoffman & Jebara 2018, "Variational autoencoders for collaborative filtering", arXiv:1802.05814. One
hidden layer encodes a user's likes as the mean and variance of a latent vector z, and one hidden layer decodes z to
logits over the items. Training raises the evidence lower bound (eq. 5)

    Σ_{i liked} log softmax(f(z))_i − β · KL(q(z | x) ‖ N(0, I)),   β annealed from 0 to its cap.

At the cap the KL term is a regulariser and no longer a bound (section 2.2.2). A new user's z is the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from model_store.baselines.popularity import Scores, liked_matrix
from model_store.bundle import Support

# Larger steps than the paper's on smaller batches: on MovieLens 1M, 600 steps are as good as thousands of the paper's.
LEARNING_RATE = 5e-3
BATCH_USERS = 128


@dataclass(frozen=True)
class VAESchedule:
    """Length of a training in steps of ``BATCH_USERS`` users, so that large data costs no more than small.

    Attributes:
        max_steps: gradient steps at most; β reaches its cap after half of them.
        check_every: steps between checks on the validation users.
        patience: checks without a better score before training stops.
    """

    max_steps: int
    check_every: int = 50
    patience: int = 5


class Autoencoder(nn.Module):
    """Encoder and decoder between likes and logits."""

    def __init__(self, n_items: int, hidden: int, latent: int, dropout: float) -> None:
        """Draw the first weights from torch's global generator, as torch's modules do.

        Args:
            n_items: number of inputs and of outputs.
            hidden: units of each hidden layer.
            latent: length of z.
            dropout: share of a profile's likes that a step hides.
        """
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.encoder = nn.Sequential(nn.Linear(n_items, hidden), nn.Tanh(), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, n_items))
        # As in the paper. PyTorch's default start passes almost nothing of a sparse profile on.
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                nn.init.xavier_normal_(parameter)

    def forward(self, liked: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, n_items) and KL divergence (B,) of likes (B, n_items); z is drawn in training, else the mean."""
        mean, log_variance = self.encoder(self.dropout(functional.normalize(liked))).chunk(2, dim=1)
        divergence = 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).sum(1)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance) if self.training else mean
        return self.decoder(z), divergence


@dataclass(frozen=True)
class MultiVAE:
    """A trained autoencoder over the items that most users liked.

    Attributes:
        autoencoder: its weights.
        kept: int64 (n_kept,), rows of the catalogue that are covered.
        n_items: size of the catalogue.
        liked_at_least: value from which an event of a support counts as liked.
    """

    autoencoder: Autoencoder
    kept: NDArray[np.int64]
    n_items: int
    liked_at_least: float

    @torch.no_grad()
    def score(self, support: Support) -> Scores:
        """Logits float32 (B, n_items); an item that is not covered gets the lowest of its user's."""
        liked = liked_matrix(support, self.liked_at_least, self.n_items)[:, self.kept]
        logits, _ = self.autoencoder.eval()(torch.from_numpy(liked.toarray()))
        scores = logits.amin(1, keepdim=True).repeat(1, self.n_items)
        scores[:, torch.from_numpy(self.kept)] = logits
        array: Scores = scores.numpy()
        return array


def fit_multi_vae(
    liked: sp.csr_array,
    kept: NDArray[np.int64],
    liked_at_least: float,
    judge: Callable[[MultiVAE], float],
    *,
    hidden: int,
    dropout: float,
    kl_weight: float,
    schedule: VAESchedule,
    seed: int = 0,
) -> MultiVAE:
    """Train, and keep the weights with the best ``judge`` score.

    Args:
        liked: (n_users, n_items), ones at the likes of the training users.
        kept: rows of the items to cover.
        liked_at_least: value from which an event of a support counts as liked.
        judge: score on validation users, higher is better.
        hidden: units of the hidden layers; z has half as many.
        dropout: share of a profile's likes that a step hides.
        kl_weight: cap of β.
        schedule: number of steps.
        seed: of weights, batches, dropout and z; torch's global generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MultiVAE(Autoencoder(len(kept), hidden, hidden // 2, dropout), kept, liked.shape[1], liked_at_least)
        optimizer = torch.optim.Adam(model.autoencoder.parameters(), lr=LEARNING_RATE)
        best, best_weights, worse = -np.inf, _weights(model), 0
        batches = _batches(liked[:, kept], np.random.default_rng(seed))
        for step, batch in zip(range(1, schedule.max_steps + 1), batches, strict=False):
            _learn(model.autoencoder, optimizer, batch, kl_weight * min(1.0, 2 * step / schedule.max_steps))
            if step % schedule.check_every == 0:
                score = judge(model)
                worse = 0 if score > best else worse + 1
                if score > best:
                    best, best_weights = score, _weights(model)
                if worse == schedule.patience:
                    break
        model.autoencoder.load_state_dict(best_weights)
    return model


def _batches(liked: sp.csr_array, rng: np.random.Generator) -> Iterator[Tensor]:
    """Profiles float32 (≤ ``BATCH_USERS``, n_kept) of users with likes, in a new order every epoch.

    An epoch is split evenly: a short last batch would make a noisy step.
    """
    users = np.flatnonzero(np.diff(liked.indptr))
    while True:
        for batch in np.array_split(rng.permutation(users), -(-len(users) // BATCH_USERS)):
            yield torch.from_numpy(liked[batch].toarray())


def _learn(autoencoder: Autoencoder, optimizer: torch.optim.Optimizer, liked: Tensor, kl_weight: float) -> None:
    logits, divergence = autoencoder.train()(liked)
    likelihood = (functional.log_softmax(logits, dim=1) * liked).sum(1)
    loss = (kl_weight * divergence - likelihood).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _weights(model: MultiVAE) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in model.autoencoder.state_dict().items()}
