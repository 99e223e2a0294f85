"""Keys on disk: the file holds no secret, and a file of another format is refused without being quoted."""

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


def test_a_key_is_opened_only_by_its_secret() -> None:
    keyring, text = Keyring().with_new([Scope.READ], "", NOW)
    keyring, other = keyring.with_new([Scope.READ], "", NOW)
    (key_id, secret), (_, secret_of_other) = (
        split_key(text.encode()) or ("", b""),
        split_key(other.encode()) or ("", b""),
    )
    key = keyring.keys[0]
    assert key.id == key_id
    assert key.is_opened_by(secret)
    assert not key.is_opened_by(secret[:-1] + bytes([secret[-1] ^ 1]))
    assert not key.is_opened_by(secret_of_other)


def test_the_hash_is_as_slow_as_owasp_recommends(tmp_path: Path) -> None:
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
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_two_keys_never_share_id_or_secret() -> None:
    texts = [Keyring().with_new([Scope.READ], "", NOW)[1] for _ in range(4)]
    assert all(KEY.fullmatch(text.encode()) for text in texts)
    assert len({split_key(text.encode()) for text in texts}) == 4


def test_an_unknown_key_cannot_be_revoked() -> None:
    keyring, _ = Keyring().with_new([Scope.READ], "", NOW)
    with pytest.raises(KeysFileInvalid, match=f"'nobody': not in the keys file, .* ids: {keyring.keys[0].id}"):
        keyring.without("nobody")
    assert keyring.without(keyring.keys[0].id).keys == ()


def test_keys_made_and_revoked_concurrently_are_all_stored_and_all_removed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "keys.json"
    doomed = [(split_key(add_key(path, [Scope.READ], "", NOW).encode()) or ("", b""))[0] for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(add_key, path, [Scope.READ], "", NOW) for _ in range(4)]
        for done in [pool.submit(revoke_key, path, key_id) for key_id in doomed]:
            done.result()
    assert {key.id for key in read_keyring(path).keys} == {done.result().split("_")[1] for done in made}


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
def test_a_file_of_another_format_is_refused_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    with pytest.raises(KeysFileInvalid, match="expected a file made by: kshot keys new") as caught:
        read_keyring(path)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@given(st.binary(max_size=80) | st.from_regex(KEY).map(lambda text: text + b"\n"))
def test_only_a_whole_key_is_split(text: bytes) -> None:
    parts = split_key(text)
    assert parts is None or b"kshot_%b_%b" % (parts[0].encode(), parts[1]) == text
