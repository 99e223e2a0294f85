"""Clients that choose their ids with care: no line of the log is forged, no series of the metrics is made."""

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
def talkative(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    env = {"KSHOT_ACCESS_LOG": "true", "KSHOT_LOG_LEVEL": "debug", "KSHOT_USER_RATE": "1000/second"}
    with running(trained_store, tmp_path_factory.mktemp("talkative"), env=env) as started:
        yield started


def ask_everything(service: Running, text: str) -> list[int]:
    """Put ``text`` wherever a client may write; the statuses."""
    client, event = service.client, {"item_id": text, "value": 5}
    answers = [
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
    return [answer.status_code for answer in answers]


def test_hostile_ids_forge_no_line_of_the_log_and_make_no_series(talkative: Running) -> None:
    for text in HOSTILE:
        assert all(status < 500 for status in ask_everything(talkative, text)), text
    talkative.metrics()  # is a request, too
    series = set(talkative.metrics())
    for text in HOSTILE:
        ask_everything(talkative, f"{text[:100]} once more")
    assert set(talkative.metrics()) == series
    assert not [name for name in series if "forged" in repr(name)]
    events = set()
    for line in talkative.log.read_bytes().split(b"\n")[:-1]:
        told = json.loads(line)
        assert {"event", "level", "timestamp"} <= set(told)
        assert not [character for character in line.decode() if character < " " or character in "\x7f\x85\u2028\u2029"]
        events.add(told["event"])
    assert not [event for event in events if "forged" in event]
    assert "request" in events


def test_no_answer_has_a_header_that_a_client_wrote(talkative: Running) -> None:
    answer = talkative.client.get("/recommend", params={"user_id": HOSTILE[1]})
    assert answer.json()["user_id"] == HOSTILE[1]
    assert "x-forged" not in answer.headers


def test_a_flood_of_bytes_that_are_no_http_is_counted_and_fills_no_log(talkative: Running) -> None:
    malformed = ("kshot_malformed_requests_total", ())
    before, lines = talkative.metrics()[malformed], len(talkative.logged())
    upgrade = b"GET /health/live HTTP/1.1\r\nHost: kshot\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    with ExitStack() as open_connections:  # all at once, since some are closed only after seconds
        flood = [open_connections.enter_context(connected(talkative)) for _ in range(40)]
        for connection, sent in zip(
            flood, 20 * [b"\x16\x03\x01 no HTTP\r\n\r\n", upgrade + b"no HTTP\r\n\r\n"], strict=True
        ):
            connection.sendall(sent)
        for connection in flood:
            until_closed(connection)
    assert talkative.metrics()[malformed] - before >= 20
    assert {line["event"] for line in talkative.logged()[lines:]} <= {"request"}
