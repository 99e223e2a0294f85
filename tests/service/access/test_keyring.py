"""Keys on disk: what is written opens nothing by itself, and what is no keys file is refused without being quoted."""

from __future__ import annotations

import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from argon2 import extract_parameters
from hypothesis import given
from hypothesis import strategies as st

from service.access.keyring import KEY, Keyring, Scope, add_key, read_keyring, revoke_key, split_key, write_keyring
from service.errors import KeysFileInvalid

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BEGUN = b'{"id": "0123456789ab", "created_at": "2026-01-01T00:00:00Z"'


def test_a_key_is_opened_by_its_own_secret_alone() -> None:
    keyring, ours = Keyring().with_new([Scope.READ], "", NOW)
    keyring, other = keyring.with_new([Scope.READ], "", NOW)
    (key_id, secret), (_, secret_of_other) = (
        split_key(ours.encode()) or ("", b""),
        split_key(other.encode()) or ("", b""),
    )
    key = keyring.keys[0]
    assert key.id == key_id
    assert key.is_opened_by(secret)
    assert not key.is_opened_by(secret[:-1] + bytes([secret[-1] ^ 1]))
    assert not key.is_opened_by(secret_of_other)


def test_the_hash_is_as_slow_as_owasp_asks(tmp_path: Path) -> None:
    (key,) = Keyring().with_new([Scope.READ], "", NOW)[0].keys
    slow = extract_parameters(key.hash)
    assert (slow.type.name, slow.memory_cost >= 19 * 1024, slow.time_cost >= 2) == ("ID", True, True)


def test_a_file_is_read_as_it_was_written_and_holds_no_secret(tmp_path: Path) -> None:
    keyring, text = Keyring().with_new([Scope.ADMIN, Scope.READ, Scope.READ], "the shop", NOW)
    path = tmp_path / "keys.json"
    write_keyring(path, keyring)
    assert read_keyring(path) == keyring
    assert keyring.keys[0].scopes == (Scope.READ, Scope.ADMIN)
    assert text.encode().rpartition(b"_")[2] not in path.read_bytes()
    assert [each.name for each in tmp_path.iterdir()] == ["keys.json"]


def test_two_keys_never_share_id_or_secret() -> None:
    texts = [Keyring().with_new([Scope.READ], "", NOW)[1] for _ in range(4)]
    assert all(KEY.fullmatch(text.encode()) for text in texts)
    assert len({split_key(text.encode()) for text in texts}) == 4


def test_a_key_that_is_not_there_cannot_be_revoked() -> None:
    keyring, _ = Keyring().with_new([Scope.READ], "", NOW)
    with pytest.raises(KeysFileInvalid, match=f"'nobody': not in the keys file, .* ids: {keyring.keys[0].id}"):
        keyring.without("nobody")
    assert keyring.without(keyring.keys[0].id).keys == ()


def test_keys_that_are_made_and_revoked_at_the_same_time_are_all_kept_and_all_gone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "keys.json"
    doomed = [(split_key(add_key(path, [Scope.READ], "", NOW).encode()) or ("", b""))[0] for _ in range(4)]
    with ThreadPoolExecutor(8) as people:
        made = [people.submit(add_key, path, [Scope.READ], "", NOW) for _ in range(4)]
        for done in [people.submit(revoke_key, path, key_id) for key_id in doomed]:
            done.result()
    assert {key.id for key in read_keyring(path).keys} == {each.result().split("_")[1] for each in made}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hunter2",
        b'{"version": 2, "keys": []}',
        b'{"version": 1, "keys": ["hunter2"]}',
        b'{"version": 1, "keys": [%b, "scopes": ["hunter2"], "hash": "$argon2id$"}]}' % BEGUN,
        b'{"version": 1, "keys": [%b, "scopes": ["read"], "hash": "hunter2"}]}' % BEGUN,
    ],
)
def test_a_file_that_is_none_is_refused_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    with pytest.raises(KeysFileInvalid, match="expected a file made by: kshot keys new") as caught:
        read_keyring(path)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@given(st.binary(max_size=80) | st.from_regex(KEY).map(lambda text: text + b"\n"))
def test_only_a_whole_key_has_parts(text: bytes) -> None:
    parts = split_key(text)
    assert parts is None or b"kshot_%b_%b" % (parts[0].encode(), parts[1]) == text
