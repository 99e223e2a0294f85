"""Options shared by the commands."""

from __future__ import annotations

import pytest

from model_store.commands.options import shots_of
from model_store.errors import DataError


@pytest.mark.parametrize("text", ["", "0", "1,3", "0,3,1", "0,1,1", "0,x", "-1,0"])
def test_invalid_shots_are_named(text: str) -> None:
    with pytest.raises(DataError) as refused:
        shots_of(text)
    assert str(refused.value) == f"--shots {text!r}: expected 0 and then increasing numbers, e.g. 0,1,3,5,10,20"


def test_shots_are_parsed_and_absent_ones_stay_absent() -> None:
    assert shots_of("0,1,3") == (0, 1, 3)
    assert shots_of(None) is None
