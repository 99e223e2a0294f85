"""Train LibRecommender's ALS on interactions.csv and save it in libserving's format. Arguments: CSV, folder."""

import sys

import pandas as pd
from libreco.algorithms import ALS
from libreco.data import DatasetPure
from libserving.serialization import save_embed
from libserving.serialization.embed import save_faiss_index


def main(interactions: str, folder: str) -> None:
    """Run 15 rounds of ALS with 64 factors on likes; the faiss index has its defaults."""
    events = pd.read_csv(interactions)  # ids are whole numbers, because libserving saves no others
    liked = events[events["value"] >= events["value"].quantile(0.5)]
    table = pd.DataFrame({"user": liked["user_id"], "item": liked["item_id"], "label": 1})
    data, info = DatasetPure.build_trainset(table)
    model = ALS("ranking", info, embed_size=64, n_epochs=15, reg=0.01, alpha=10, seed=0, n_threads=2)
    model.fit(data, neg_sampling=True, verbose=0)
    save_embed(folder, model)
    save_faiss_index(folder, model)


if __name__ == "__main__":
    main(*sys.argv[1:])
