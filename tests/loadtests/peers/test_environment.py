"""Environments of peers."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.peers.environment import environment
from loadtests.peers.peer import PeerError


def test_a_failed_installation_raises_the_output_of_pip(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=r"nowhere\.whl"):
        environment("absent", [str(tmp_path / "nowhere.whl")], cache=tmp_path)
