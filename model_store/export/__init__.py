"""A trained network leaves here as a bundle: graphs, catalogue, golden cases, proven before it is published."""

from model_store.export.publish import Draft, write_draft

__all__ = ["Draft", "write_draft"]
