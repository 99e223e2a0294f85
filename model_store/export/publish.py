"""From a trained network to a published bundle: write, check parity, evaluate, seal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_store.bundle import Attributes, Catalogue, Graphs, Registry, Runtime
from model_store.bundle.attributes import ATTRIBUTES_FILE
from model_store.bundle.candidates import INDEX_FILE
from model_store.bundle.features import Features
from model_store.bundle.golden import write_golden
from model_store.bundle.items import write_catalogue
from model_store.bundle.manifest import Limits, Shapes
from model_store.bundle.writer import draft, seal
from model_store.config import IndexName, TrainingConfig
from model_store.data.schema import Dataset
from model_store.export.build_index import build_index, tune_index
from model_store.export.candidates_graph import export_score_candidates
from model_store.export.parity import check_parity
from model_store.export.score_graph import export_score
from model_store.export.torch_graphs import export_adapt, export_encode_item, export_vote
from model_store.meta.network import Network

MAX_COUNT = 1000


@dataclass(frozen=True)
class Draft:
    """A bundle whose parity is checked but which is not yet published; its graphs can be evaluated.

    Attributes:
        folder: the draft's folder.
        dataset: the training data.
        config: the training's configuration.
        index: measured figures of an approximate bundle's index; empty for an exact bundle.
    """

    folder: Path
    dataset: Dataset
    config: TrainingConfig
    index: dict[str, float]

    def open(self) -> Runtime:
        """The graphs and the catalogue, opened as in a service."""
        return Runtime(Graphs(self.folder), Catalogue(self.folder))

    def publish(self, registry: Registry, *, results: dict[str, Any]) -> str:
        """Seal the draft, make it live in its bundles folder, and return its version."""
        runtime = self.open()
        catalogue = runtime.catalogue
        folder = seal(
            self.folder,
            shapes=Shapes(
                items=len(catalogue),
                state_dim=catalogue.vectors.shape[1],
                neighbours=catalogue.neighbour_rows.shape[1],
                features=len(catalogue.features),
                attributes=len(self.dataset.attribute_names),
            ),
            limits=Limits(max_support=self.config.max_support, max_count=min(MAX_COUNT, len(catalogue))),
            feedback=self.dataset.feedback,
            data=self.dataset.fingerprint,
            training=self.config.model_dump(),
            results=results,
            signatures=runtime.graphs.signatures(),
        )
        registry.promote(folder.name)
        return folder.name


@contextmanager
def write_draft(registry: Registry, dataset: Dataset, network: Network, config: TrainingConfig) -> Iterator[Draft]:
    """Export ``network`` into a temporary folder and check its parity; it is removed at the end unless published.

    Raises:
        ExportRefused: a graph differs from the network, or the recall of an index is too low.
        LibraryMissing: the configuration requests an index, and faiss is not installed.
    """
    network.eval()
    vectors = network.encoder.vectors().detach().numpy()
    neighbour_rows, neighbour_weights = network.neighbour_lists()
    with draft(registry.bundles) as folder:
        write_catalogue(
            folder,
            items=_items(dataset),
            vectors=vectors,
            neighbour_rows=neighbour_rows.int().numpy(),
            neighbour_weights=neighbour_weights.detach().numpy(),
            features=Features(dataset.features.names),
        )
        Attributes(dataset.attribute_names).write(folder / ATTRIBUTES_FILE)
        export_adapt(folder / "adapt.onnx", network, has_attributes=bool(dataset.attribute_names))
        export_vote(folder / "vote.onnx", network)
        export_encode_item(folder / "encode_item.onnx", network.encoder)
        approximate = config.index is IndexName.APPROXIMATE
        if approximate:
            build_index(folder / INDEX_FILE, vectors, config.seed)
        export = export_score_candidates if approximate else export_score
        export(folder / "score.onnx", vectors, "items.vectors.npy")
        index = tune_index(folder, dataset, config.seed) if approximate else {}
        cases = check_parity(folder, network, dataset.events.values, config.max_support, config.seed)
        write_golden(folder / "golden.npz", cases)
        yield Draft(folder, dataset, config, index)


def _items(dataset: Dataset) -> list[dict[str, Any]]:
    return [
        {"item_id": item_id, "title": title} if title else {"item_id": item_id}
        for item_id, title in zip(dataset.item_ids, dataset.titles, strict=True)
    ]
