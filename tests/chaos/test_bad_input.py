"""Whatever bytes come in: no answer is an error of the service, nothing breaks, and nothing is left in memory."""

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
AT_ONCE = 48
SILENCE_S = 0.1
SAMPLES = 50
TOLERATED_MIB = 4
STATUS = re.compile(rb"^HTTP/1\.1 (\d{3}) ", re.MULTILINE)
DOCUMENTED = 503  # the store, or the load, is what is to blame
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def target(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that gets nothing but this."""
    with running(trained_store, tmp_path_factory.mktemp("target")) as started:
        yield started


def errors_of_service(service: Running) -> list[object]:
    """Server errors by the service's own count, and what its log says of them."""
    counted: list[object] = [
        labels
        for (name, labels), count in service.metrics().items()
        if name == "kshot_request_seconds_count" and labels[-1] >= "500" and labels[-1] != str(DOCUMENTED) and count
    ]
    logged = [line for line in service.logged() if line["level"] == "error" or "exception" in line]
    return counted + logged


def by_status(found: Counter[int]) -> str:
    """How often each status came, for the page."""
    return "; ".join(f"{count:,} with {status}" for status, count in sorted(found.items()))


async def answers_to(host: str, port: int, request: bytes) -> list[int]:
    """Statuses of what comes back until the service ends the connection or falls silent."""
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
    """How often each status came back."""
    url, found, left = service.client.base_url, Counter[int](), iter(numbers)

    async def one_client() -> None:
        for number in left:
            kind, request = mutated(SEED, number)
            for status in await answers_to(url.host, url.port or 80, request):
                found[status] += 1
                assert status < 500 or status == DOCUMENTED, f"case {number} ({kind}): {request[:500]!r}"

    async with asyncio.TaskGroup() as clients:
        for _ in range(AT_ONCE):
            clients.create_task(one_client())
    return found


def test_no_bytes_make_the_service_fail_or_grow(target: Running, sized: Any, tell: Any, progress: Any) -> None:
    cases = sized(1_500, 100_000)
    part = cases // SAMPLES
    found, memory = Counter[int](), []
    for done in range(0, cases, part):
        found += uvloop.run(fuzz(target, range(done, done + part)))
        memory.append(memory_mib(target.process.pid)["own"])
        progress(done + part, cases)
    warm = SAMPLES * 2 // 5
    grown = trend(range(SAMPLES - warm), memory[warm:])
    tell(
        cases=cases,
        answers=by_status(found),
        memory_growth_mib=f"{grown.growth:.2f} ({grown.low:.2f} to {grown.high:.2f})",
    )
    assert errors_of_service(target) == []
    assert not grown.exceeds(sized(40, TOLERATED_MIB))  # a short run ends before the allocator has settled
    assert target.client.get("/health/live").status_code == 200


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_answers_are_those_that_the_schema_promises(
    target: Running, mode: GenerationMode, sized: Any, tell: Any
) -> None:
    """Whatever an operation takes is drawn from its schema, or from beside it."""
    schema = schemathesis.openapi.from_url(f"{target.client.base_url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    found = Counter[int]()

    def answered(case: schemathesis.Case) -> None:
        response = case.call(base_url=str(target.client.base_url), session=session)
        found[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    drawn = settings(
        max_examples=sized(15, 500),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    with requests.Session() as session:
        for operation in operations:
            if operation.body or any(operation.iter_parameters()):
                drawn(given(case=operation.as_strategy(generation_mode=mode))(answered))()
    tell(cases=found.total(), answers=by_status(found))
    assert errors_of_service(target) == []
