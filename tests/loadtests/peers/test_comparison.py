"""The table of the comparison."""

from __future__ import annotations

from loadtests.peers.comparison import PEERS, table

MEASURED = {
    "name": "offline",
    "training_s": 1.0,
    "recommend": {"rate": 1234.5, "p99_ms": 6.789, "failures": 0.0},
    "new_user": {"status": 404, "items": 0},
    "adaptation": {"how": "training again", "seconds": 12.0, "with_request": {"seconds": 0.0141}},
}


def test_the_table_has_a_row_per_peer_and_the_reason_of_an_absent_peer() -> None:
    text = table({"peers": {"offline": MEASURED, "absent": {"name": "absent", "absent": "no wheel"}}})
    assert "| offline | 1,234 | 6.79 | 0 | status 404 | 12.0 s, by training again; 14.1 ms for items in the" in text
    assert "absent: not measured: no wheel" in text


def test_the_peers_of_the_comparison() -> None:
    assert {peer.name for peer in PEERS.values()} == {"kshot", "recotem", "LibRecommender", "FastAPI + implicit"}
