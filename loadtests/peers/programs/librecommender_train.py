"""Train LibRecommender's ALS on interactions.csv and save it as libserving wants it. Arguments: CSV, folder."""

import sys

import pandas as pd
from libreco.algorithms import ALS
from libreco.data import DatasetPure
from libserving.serialization import save_embed
from libserving.serialization.embed import save_faiss_index


def main(interactions: str, folder: str) -> None:
    """What users liked, by 15 rounds of ALS with 64 factors; the faiss index as its own defaults have it."""
    events = pd.read_csv(interactions)  # libserving saves whole numbers as ids, and nothing else
    liked = events[events["value"] >= events["value"].quantile(0.5)]
    table = pd.DataFrame({"user": liked["user_id"], "item": liked["item_id"], "label": 1})
    data, info = DatasetPure.build_trainset(table)
    model = ALS("ranking", info, embed_size=64, n_epochs=15, reg=0.01, alpha=10, seed=0, n_threads=2)
    model.fit(data, neg_sampling=True, verbose=0)
    save_embed(folder, model)
    save_faiss_index(folder, model)


if __name__ == "__main__":
    main(*sys.argv[1:])
