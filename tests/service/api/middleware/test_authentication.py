"""API keys on a running service: scopes, new and revoked keys, and that no key is ever disclosed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from running_service import Running, running, wait_until
from typer.testing import CliRunner

from service.access.keyring import Keyring, Scope, write_keyring
from service.commands.keys import keys

VERBOSE = {"KSHOT_ACCESS_LOG": "true", "KSHOT_LOG_LEVEL": "debug"}
LIKED = {"item_id": "g1-1", "value": 5}


@dataclass
class Locked:
    """A service that requires keys, and a key of each scope."""

    service: Running
    keys_file: Path
    texts: dict[Scope, str]

    def status(self, key: str | None, method: str, path: str, **options: Any) -> int:
        return self.request(key, method, path, **options).status_code

    def request(self, key: str | None, method: str, path: str, **options: Any) -> Any:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return self.service.client.request(method, path, headers=headers, **options)

    def kshot_keys(self, *arguments: str) -> str:
        """The standard output of ``kshot keys``."""
        ended = CliRunner().invoke(keys, [*arguments], env={"KSHOT_KEYS_FILE": str(self.keys_file)})
        assert ended.exit_code == 0, ended.output
        return ended.stdout


@pytest.fixture(scope="module")
def locked(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    folder = tmp_path_factory.mktemp("locked")
    keyring, texts = Keyring(), {}
    for scope in Scope:
        keyring, texts[scope] = keyring.with_new([scope], scope, datetime.now(UTC))
    write_keyring(folder / "keys.json", keyring)
    with running(trained_store, folder, "--keys-file", folder / "keys.json", env=VERBOSE) as service:
        yield Locked(service, folder / "keys.json", texts)


@pytest.mark.parametrize(
    ("method", "path", "scopes"),
    [
        ("GET", "/recommend?user_id=ann", {Scope.READ}),
        ("POST", "/feedback", {Scope.FEEDBACK}),
        ("GET", "/metrics", {Scope.METRICS, Scope.ADMIN}),
        ("GET", "/docs", {Scope.ADMIN}),
        ("GET", "/openapi.json", {Scope.ADMIN}),
        ("GET", "/nowhere", {Scope.ADMIN}),
        ("GET", "/users/nobody", {Scope.ADMIN}),
        ("DELETE", "/users/nobody", {Scope.ADMIN}),
        ("DELETE", "/users/nobody/events/e1", {Scope.ADMIN}),
        ("GET", "/users/recommend%2F", {Scope.ADMIN}),
    ],
)
def test_a_key_permits_what_its_scope_says(locked: Locked, method: str, path: str, scopes: set[Scope]) -> None:
    body = {"json": {"user_id": "ann", "events": [LIKED]}} if method == "POST" else {}
    admitted = {scope for scope in Scope if locked.status(locked.texts[scope], method, path, **body) in (200, 404)}
    assert admitted == scopes
    assert locked.status(None, method, path, **body) == 401


def test_probes_need_no_key(locked: Locked) -> None:
    assert {locked.status(None, "GET", f"/health/{probe}") for probe in ("live", "ready")} == {200}


def test_refusals_are_problems_with_a_challenge(locked: Locked) -> None:
    absent = locked.request(None, "GET", "/recommend?user_id=ann")
    invalid = locked.request("kshot_0", "GET", "/recommend?user_id=ann")
    missing = locked.request(locked.texts[Scope.FEEDBACK], "GET", "/recommend?user_id=ann")
    refusals = (absent, invalid, missing)
    assert [refusal.headers["www-authenticate"] for refusal in refusals] == [
        'Bearer realm="kshot"',
        'Bearer realm="kshot", error="invalid_token"',
        'Bearer realm="kshot", error="insufficient_scope", scope="read"',
    ]
    assert [refusal.json()["status"] for refusal in refusals] == [401, 401, 403]
    assert {refusal.headers["content-type"] for refusal in refusals} == {"application/problem+json"}
    assert absent.json()["detail"] == "authorization: absent, expected Bearer and an API key"


@pytest.mark.parametrize("scheme", ["bearer ", "BEARER   "])
def test_the_scheme_is_not_case_sensitive(locked: Locked, scheme: str) -> None:
    headers = {"Authorization": f"{scheme}{locked.texts[Scope.READ]}"}
    assert locked.service.client.get("/recommend?user_id=ann", headers=headers).status_code == 200


@pytest.mark.parametrize("header", ["Basic {}", "{}", "Bearer", "Bearer {} {}", "Token {}"])
def test_a_key_is_accepted_as_a_bearer_token_only(locked: Locked, header: str) -> None:
    headers = {"Authorization": header.replace("{}", locked.texts[Scope.READ])}
    assert locked.service.client.get("/recommend?user_id=ann", headers=headers).status_code == 401


def test_a_key_in_the_address_is_ignored(locked: Locked) -> None:
    assert locked.status(None, "GET", f"/recommend?user_id=ann&access_token={locked.texts[Scope.READ]}") == 401


def test_new_and_revoked_keys_take_effect_without_a_restart(locked: Locked) -> None:
    text = locked.kshot_keys("new", "--scope", "read", "--scope", "feedback", "--name", "the shop").strip()
    key_id = text.split("_")[1]
    wait_until(lambda: locked.status(text, "GET", "/recommend?user_id=ann") == 200)
    assert f"{key_id}  {datetime.now(UTC):%Y-%m-%d}" in locked.kshot_keys("list")
    assert locked.kshot_keys("list").splitlines()[-1].endswith("  read,feedback  the shop")
    assert locked.kshot_keys("revoke", key_id).strip() == key_id
    wait_until(lambda: locked.status(text, "GET", "/recommend?user_id=ann") == 401)
    assert key_id not in locked.kshot_keys("list")
    assert locked.status(locked.texts[Scope.READ], "GET", "/recommend?user_id=ann") == 200


def test_no_key_is_ever_disclosed(locked: Locked) -> None:
    valid = locked.texts[Scope.READ]
    wrong = f"{valid[:-6]}SECRET"
    responses = [
        locked.request(key, method, path).text
        for key in (valid, wrong, f"kshot_abcdefabcdef_{'SECRET' * 7}x", f"{valid}SECRET", "SECRET")
        for method, path in (("GET", "/recommend?user_id=ann&k=0"), ("GET", "/metrics"), ("POST", "/feedback"))
    ]
    disclosed = "".join(
        [*responses, locked.service.log.read_text(), locked.request(locked.texts[Scope.ADMIN], "GET", "/metrics").text]
    )
    assert "SECRET" not in disclosed
    assert [scope for scope, text in locked.texts.items() if text.split("_", 2)[2] in disclosed] == []
    assert "argon2id" not in disclosed


def test_refusals_are_counted_by_reason(locked: Locked) -> None:
    def counted() -> dict[str, float]:
        locked.service.client.headers["Authorization"] = f"Bearer {locked.texts[Scope.METRICS]}"
        try:
            metrics = locked.service.metrics()
        finally:
            del locked.service.client.headers["Authorization"]
        return {reason: metrics.get(("kshot_key_refusals_total", (reason,)), 0.0) for reason in REASONS}

    before = counted()
    for key in (None, "SECRET", locked.texts[Scope.FEEDBACK]):
        locked.status(key, "GET", "/recommend?user_id=ann")
    after = counted()
    assert {reason: after[reason] - before[reason] for reason in REASONS} == dict.fromkeys(REASONS, 1.0)


REASONS = ("absent", "invalid", "scope")


def test_the_documentation_has_the_scope_of_every_route(locked: Locked) -> None:
    schema = locked.request(locked.texts[Scope.ADMIN], "GET", "/openapi.json").json()
    assert schema["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            needs_key = not path.startswith("/health/")
            assert (operation.get("security") == [{"key": []}]) == needs_key, path
            assert {"401", "403"} <= set(operation["responses"]) or not needs_key
    assert "scope read" in schema["paths"]["/recommend"]["get"]["responses"]["403"]["description"]


def test_a_service_without_keys_documents_none(service: Running) -> None:
    schema = service.client.get("/openapi.json").json()
    assert "securitySchemes" not in schema["components"]
    assert service.client.get("/recommend?user_id=ann").status_code == 200
