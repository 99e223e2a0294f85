"""Responses by the time at which their requests were under way."""

from __future__ import annotations

from loadtests.kit.clients import Response, Responses, failures, percentile_ms


def test_a_request_counts_for_the_time_that_it_was_under_way() -> None:
    early, across, late, failed = (
        Response(0, 500, 200, b""),
        Response(0.9, 400, 200, b""),
        Response(3, 1, 200, b""),
        Response(1.5, 90, 0, b""),
    )
    responses = Responses([early, across, late, failed])
    assert responses.between(1.0, 2.0) == [across, failed]
    assert failures(responses.between(1.0, 2.0)) == 1
    assert percentile_ms([across, failed], 100) == 400
