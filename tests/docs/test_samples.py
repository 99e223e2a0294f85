"""Samples of Python in the documents run, and are what their page says."""

from __future__ import annotations

from typing import Any

from documents import ROOT, blocks

from model_store.meta.outer import Algorithm


def run(page: str) -> dict[str, Any]:
    """The names that the samples of a page define."""
    names: dict[str, Any] = {}
    for block in blocks(ROOT / page):
        if block.language == "python":
            exec(compile(block.code, str(block), "exec"), names)
    return names


def test_the_sample_of_an_algorithm_is_one() -> None:
    names = run("docs/howto/new-algorithm.md")
    assert isinstance(names["ALGORITHM"], Algorithm)
    assert names["ALGORITHM"].step is names["step"]
