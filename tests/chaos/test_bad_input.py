"""Arbitrary bytes as requests cause no server error, no damage and no growth of memory."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
import uvloop
from hypothesis import HealthCheck, given, settings
from mutations import mutated
from running_service import Running, running
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from loadtests.kit.machine import memory_mib
from loadtests.kit.trend import trend

SEED = 1
CONNECTIONS = 48
SILENCE_S = 0.1
SAMPLES = 50
TOLERATED_MIB = 4
STATUS = re.compile(rb"^HTTP/1\.1 (\d{3}) ", re.MULTILINE)
UNAVAILABLE = 503  # documented: store or load
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def target(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service for these tests alone."""
    with running(trained_store, tmp_path_factory.mktemp("target")) as started:
        yield started


def errors_of_service(service: Running) -> list[object]:
    """Server errors in the service's metrics, and errors in its log."""
    counted: list[object] = [
        labels
        for (name, labels), count in service.metrics().items()
        if name == "kshot_request_seconds_count" and labels[-1] >= "500" and labels[-1] != str(UNAVAILABLE) and count
    ]
    logged = [line for line in service.logged() if line["level"] == "error" or "exception" in line]
    return counted + logged


def by_status(statuses: Counter[int]) -> str:
    """Counts of statuses, for the page."""
    return "; ".join(f"{count:,} with {status}" for status, count in sorted(statuses.items()))


async def responses_to(host: str, port: int, request: bytes) -> list[int]:
    """Statuses of all responses until the service ends the connection or is silent."""
    reader, writer = await asyncio.open_connection(host, port)
    received = bytearray()
    try:
        writer.write(request)
        while part := await asyncio.wait_for(reader.read(1 << 16), SILENCE_S):
            received += part
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    return [int(status) for status in STATUS.findall(received)]


async def fuzz(service: Running, numbers: range) -> Counter[int]:
    """Send the cases of ``numbers``; counts of statuses."""
    url, statuses, cases = service.client.base_url, Counter[int](), iter(numbers)

    async def send_cases() -> None:
        for number in cases:
            kind, request = mutated(SEED, number)
            for status in await responses_to(url.host, url.port or 80, request):
                statuses[status] += 1
                assert status < 500 or status == UNAVAILABLE, f"case {number} ({kind}): {request[:500]!r}"

    async with asyncio.TaskGroup() as clients:
        for _ in range(CONNECTIONS):
            clients.create_task(send_cases())
    return statuses


def test_no_bytes_make_the_service_fail_or_grow(target: Running, sized: Any, record_counts: Any, progress: Any) -> None:
    cases = sized(1_500, 100_000)
    part = cases // SAMPLES
    statuses, memory = Counter[int](), []
    for done in range(0, cases, part):
        statuses += uvloop.run(fuzz(target, range(done, done + part)))
        memory.append(memory_mib(target.process.pid)["allocated"])
        progress(done + part, cases)
    warm = SAMPLES * 2 // 5
    growth = trend(range(SAMPLES - warm), memory[warm:])
    record_counts(
        cases=cases,
        responses=by_status(statuses),
        memory_growth_mib=f"{growth.growth:.2f} ({growth.low:.2f} to {growth.high:.2f})",
    )
    assert errors_of_service(target) == []
    assert not growth.exceeds(sized(40, TOLERATED_MIB))  # a short run ends before the allocator has settled
    assert target.client.get("/health/live").status_code == 200


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_responses_follow_the_schema(target: Running, mode: GenerationMode, sized: Any, record_counts: Any) -> None:
    """Arguments are drawn from the schema of an operation (positive) or outside it (negative)."""
    schema = schemathesis.openapi.from_url(f"{target.client.base_url}/openapi.json")
    operations = [operation.ok() for operation in schema.get_all_operations()]
    statuses = Counter[int]()

    def send(case: schemathesis.Case) -> None:
        response = case.call(base_url=str(target.client.base_url), session=session)
        statuses[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    examples = settings(
        max_examples=sized(15, 500),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    with requests.Session() as session:
        for operation in operations:
            if operation.body or any(operation.iter_parameters()):
                examples(given(case=operation.as_strategy(generation_mode=mode))(send))()
    record_counts(cases=statuses.total(), responses=by_status(statuses))
    assert errors_of_service(target) == []
