"""The documents as a site: built offline, every warning an error, every file of a page part of the build."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from documents import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    options = ["-W", "-n", "--keep-going", "-q", "-b", "html", "-d", folder / "doctrees"]
    command = [sys.executable, "-m", "sphinx", *options, ROOT / "docs", folder / "html"]
    built = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder / "html"


def test_every_page_is_built(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert pages <= {path.relative_to(site) for path in site.rglob("*.html")}


def test_nothing_is_fetched_from_another_host(site: Path) -> None:
    script = r"<(?:script|img|iframe|source)[^>]+src=.(https?:)?//"
    style = r"<link[^>]+rel=.stylesheet[^>]+href=.(https?:)?//"
    fetched = re.compile(f"{script}|{style}")
    pages = [path for path in site.rglob("*.html") if fetched.search(path.read_text(encoding="utf-8"))]
    styles = [path for path in site.rglob("*.css") if re.search(r"(@import|url\(.?)\s*.?https?:", path.read_text())]
    assert (pages, styles) == ([], [])


def test_links_of_the_root_files_lead_into_the_site(site: Path) -> None:
    page = (site / "security.html").read_text(encoding="utf-8")
    assert 'href="explanation/durability.html"' in page
