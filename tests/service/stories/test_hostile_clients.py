"""Hostile ids: clients cannot forge lines of the log or create series of the metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from raw_http import connected, until_closed
from running_service import Running, running

HOSTILE = [
    'x","event":"forged","level":"error"}\n{"event":"forged"}',
    "x\r\nX-Forged: 1\r\n\r\nforged",
    "\x1b[2J\x1b]0;forged\x07",
    "\x00\x85\u2028\u2029\u202eforged",
    'forged",route="/forged"} 1e9\nforged_total 1',
    "${jndi:ldap://forged}%n%s{0}",
    "kshot:{forged}:user",
    "forged" * 40,
]


@pytest.fixture(scope="module")
def verbose(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    env = {"KSHOT_ACCESS_LOG": "true", "KSHOT_LOG_LEVEL": "debug", "KSHOT_USER_RATE": "1000/second"}
    with running(trained_store, tmp_path_factory.mktemp("verbose"), env=env) as started:
        yield started


def send_everywhere(service: Running, text: str) -> list[int]:
    """Send ``text`` in every position that a client controls; the statuses."""
    client, event = service.client, {"item_id": text, "value": 5}
    responses = [
        client.get("/recommend", params={"user_id": text}),
        client.get("/recommend", params={"user_id": "ann", "k": text, text: text}),
        client.post(
            "/feedback", json={"user_id": text, "events": [event | {"event_id": text}], "attributes": {text: text}}
        ),
        client.post("/feedback", json={"user_id": "ann", "events": [{"item_id": "g1-1", "type": text}]}),
        client.post("/feedback", json={"user_id": "ann", text: text, "events": []}),
        client.post("/feedback", content=text.encode(), headers={"Content-Type": "application/json"}),
        client.get("/health/live", headers={b"X-Request-ID": re.sub(rb"[\r\n\0]", b"", text.encode())}),
        client.request("FORGED", "/recommend"),
        client.get("/" + "".join(f"%{byte:02x}" for byte in text.encode())),
    ]
    return [response.status_code for response in responses]


def test_hostile_ids_cannot_forge_lines_of_the_log_or_create_series(verbose: Running) -> None:
    for text in HOSTILE:
        assert all(status < 500 for status in send_everywhere(verbose, text)), text
    verbose.metrics()  # counts as a request, too
    series = set(verbose.metrics())
    for text in HOSTILE:
        send_everywhere(verbose, f"{text[:100]} once more")
    assert set(verbose.metrics()) == series
    assert not [name for name in series if "forged" in repr(name)]
    events = set()
    for line in verbose.log.read_bytes().split(b"\n")[:-1]:
        record = json.loads(line)
        assert {"event", "level", "timestamp"} <= set(record)
        assert not [character for character in line.decode() if character < " " or character in "\x7f\x85\u2028\u2029"]
        events.add(record["event"])
    assert not [event for event in events if "forged" in event]
    assert "request" in events


def test_no_response_has_a_header_out_of_a_clients_id(verbose: Running) -> None:
    response = verbose.client.get("/recommend", params={"user_id": HOSTILE[1]})
    assert response.json()["user_id"] == HOSTILE[1]
    assert "x-forged" not in response.headers


def test_bytes_that_are_not_http_are_counted_and_not_logged(verbose: Running) -> None:
    malformed = ("kshot_malformed_requests_total", ())
    before, lines = verbose.metrics()[malformed], len(verbose.logged())
    upgrade = b"GET /health/live HTTP/1.1\r\nHost: kshot\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    with ExitStack() as open_connections:  # all at once, because some are closed only after seconds
        flood = [open_connections.enter_context(connected(verbose)) for _ in range(40)]
        for connection, sent in zip(
            flood, 20 * [b"\x16\x03\x01 no HTTP\r\n\r\n", upgrade + b"no HTTP\r\n\r\n"], strict=True
        ):
            connection.sendall(sent)
        for connection in flood:
            until_closed(connection)
    assert verbose.metrics()[malformed] - before >= 20
    assert {line["event"] for line in verbose.logged()[lines:]} <= {"request"}
