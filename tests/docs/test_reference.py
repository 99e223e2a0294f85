"""Generated parts of the reference say what the code says now."""

from __future__ import annotations

from pathlib import Path

import pytest
from documents import ROOT, name_of

from docs.tools import reference
from service.errors import SettingInvalid
from service.settings import Settings, read_settings


@pytest.mark.parametrize("page", reference.pages(), ids=name_of)
def test_a_page_is_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert reference.rewritten(text) == text, "run: make reference"


def test_a_page_that_is_out_of_date_is_rewritten() -> None:
    page = ROOT / "docs/reference/configuration.md"
    text = page.read_text(encoding="utf-8")
    assert reference.rewritten(text.replace("`KSHOT_PORT`", "`KSHOT_HARBOUR`")) == text


def test_every_setting_is_read_from_the_variable_that_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = [variable for _, fields in reference.setting_groups(Settings) for _, variable, _ in fields]
    assert len(variables) == len(set(variables)) >= 33
    for variable in variables:
        with monkeypatch.context() as environment:
            environment.setenv(variable, " ")
            with pytest.raises(SettingInvalid, match=rf"\b{variable}\b.*blank"):
                read_settings()


def test_commands_groups_and_flags_are_documented() -> None:
    text = reference.command_line()
    for part in ("## kshot bundles\n", "### kshot keys new\n", "`--scope`", "`--content, --no-content`", "| `KEY` |"):
        assert part in text
