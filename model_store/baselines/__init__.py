"""Baselines: what a new user gets elsewhere. Each scores the catalogue from the liked part of a support."""

from model_store.baselines.content_knn import ContentKNN, content_matrix, rare_counts_more
from model_store.baselines.ials import IALS
from model_store.baselines.item_item import ItemItem, item_knn
from model_store.baselines.multi_vae import MultiVAE, VAESchedule, fit_multi_vae
from model_store.baselines.popularity import ByShots, Popularity, WithPopularity, liked_matrix

__all__ = [
    "IALS",
    "ByShots",
    "ContentKNN",
    "ItemItem",
    "MultiVAE",
    "Popularity",
    "VAESchedule",
    "WithPopularity",
    "content_matrix",
    "fit_multi_vae",
    "item_knn",
    "liked_matrix",
    "rare_counts_more",
]
