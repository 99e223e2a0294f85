"""The figure of the README, drawn from a report; and all pictures."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from documents import ROOT
from documents_world import World

from docs.tools import figure
from model_store.bundle import Registry


def test_the_figure_is_drawn_from_the_report_of_a_bundle(world: World, tmp_path: Path) -> None:
    drawn = tmp_path / "figure.svg"
    report = Registry(world.folder / "bundles").live_folder() / "report.json"
    assert figure.main([str(report)], drawn) == 0
    text = drawn.read_text(encoding="utf-8")
    assert all(name in text for name in ("kshot", "popularity", "EASE"))


def test_a_missing_report_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert figure.main([]) == 2
    assert "report.json" in capsys.readouterr().out


def test_every_picture_is_light_and_says_what_it_shows() -> None:
    pictures = sorted((ROOT / "docs/images").glob("*.svg"))
    assert len(pictures) >= 5
    for picture in pictures:
        root = ET.fromstring(picture.read_text(encoding="utf-8"))
        assert root.attrib["aria-label"]
        assert picture.stat().st_size < 10_000
