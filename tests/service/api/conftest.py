"""A gate with one key."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.access.gate import Gate
from service.access.keyring import Keyring, Scope, write_keyring


@pytest.fixture
def admin(tmp_path: Path) -> tuple[Gate, dict[str, str]]:
    """A gate with one key, of scope admin, and the header with this key."""
    keyring, text = Keyring().with_new([Scope.ADMIN], "", datetime.now(UTC))
    write_keyring(tmp_path / "keys.json", keyring)
    return Gate(tmp_path / "keys.json"), {"Authorization": f"Bearer {text}"}
