"""Bundles with damaged files."""

from __future__ import annotations

from model_store.bundle import Registry


def damage_score(registry: Registry, version: str) -> None:
    """Flip one bit of the bundle's ``score.onnx``."""
    path = registry.folder(version) / "score.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
