"""Made-up records."""

from __future__ import annotations

from loadtests.worlds.records import made_up_record


def test_a_record_has_the_numbers_of_events_retired_events_and_seen_items() -> None:
    record = made_up_record(256, 10, 20)
    assert (len(record.events), len(record.retired), len(record.seen)) == (256, 10, 20)
    assert len({*record.events.item_ids, *record.seen}) == 276
