"""The documents keep to the rules of CONTRIBUTING: short, linked, and true where a test can tell."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from documents import ROOT, links, name_of, pages, paragraphs, words

MAX_README_WORDS = 500
MAX_PARAGRAPH_WORDS = 80


def test_the_readme_is_short() -> None:
    assert words((ROOT / "README.md").read_text(encoding="utf-8")) <= MAX_README_WORDS


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_paragraphs_are_short(page: Path) -> None:
    long = [paragraph for paragraph in paragraphs(page) if words(paragraph) > MAX_PARAGRAPH_WORDS]
    assert not long


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_to_files(page: Path) -> None:
    local = [link.partition("#")[0] for link in links(page) if not link.startswith(("http", "#"))]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_paths_that_the_documents_name_exist() -> None:
    named = re.compile(r"`((?:service|model_store|tests|deploy|docs)/[\w/.-]+)`")
    absent = {
        path
        for page in pages()
        if page.name != "CHANGELOG.md"
        for path in named.findall(page.read_text(encoding="utf-8"))
        if "NAME" not in path and not (ROOT / path).exists()
    }
    assert absent == set()


def test_badges_say_what_the_project_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pythons = [text.rpartition(" ")[2] for text in project["classifiers"] if re.search(r"Python :: 3\.\d", text)]
    badge = (ROOT / "docs/images/python.svg").read_text(encoding="utf-8")
    assert re.findall(r"3\.\d+", badge)[-len(pythons) :] == pythons
    assert project["license"] in (ROOT / "docs/images/licence.svg").read_text(encoding="utf-8")


def test_the_changelog_has_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1].startswith(f"{project['version']} (20")
