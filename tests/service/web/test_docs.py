"""The documentation shows the routes without the internet, and under whatever path a proxy publishes it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from prefix_proxy import prefix_proxy
from root import ROOT
from running_service import Running, running

from service.access.keyring import Scope, add_key

PREFIX = "/shop/kshot"
SHOWN = ("/recommend", "/feedback", "/users/{user_id}", "/health/ready")
# The page as a browser's user leaves it who opens an operation and presses the button.
TRY_OUT = """<!DOCTYPE html><link rel="stylesheet" href="$folder/swagger-ui.css"><div id="swagger-ui"></div>
<script src="$folder/swagger-ui-bundle.js"></script><script>
SwaggerUIBundle({url: 'openapi.json', dom_id: '#swagger-ui', docExpansion: 'full', tryItOutEnabled: true})
// A click before the page is ready does nothing, so it is repeated until there is an answer.
setInterval(() => {
  const answered = document.querySelector('[id*=health_live] .live-responses-table')
  const button = document.querySelector('[id*=health_live] .execute')
  if (button && !answered) button.click()
}, 500)
</script>"""


@pytest.fixture(scope="module")
def published(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that knows its place behind a proxy."""
    with running(trained_store, tmp_path_factory.mktemp("published"), "--root-path", PREFIX) as started:
        yield started


@pytest.fixture
def behind(request: pytest.FixtureRequest) -> Running:
    """The service of a fixture's name."""
    started: Running = request.getfixturevalue(request.param)
    return started


PLACES = pytest.mark.parametrize(
    ("behind", "prefix", "strips"),
    [("service", "", False), ("service", PREFIX, True), ("published", PREFIX, True), ("published", PREFIX, False)],
    indirect=["behind"],
)


def parts_of(page: str) -> list[str]:
    """Addresses that the page names, as they stand in it."""
    return re.findall(r'(?:src|href)="([^"]+)"', page)


@PLACES
def test_the_page_and_its_parts_are_there_under_every_address(behind: Running, prefix: str, strips: bool) -> None:
    with prefix_proxy(behind.client.base_url, prefix, strips=strips) as proxy, httpx.Client() as client:
        for path in ("/", "/docs", "/docs/"):
            page = client.get(proxy.address + prefix + path, follow_redirects=True)
            assert (page.status_code, str(page.url)) == (200, f"{proxy.address}{prefix}/docs")
        named = [part for part in parts_of(page.text) if not part.startswith("data:")]
        assert len(named) == 2
        for part in (*named, "openapi.json"):
            assert not part.startswith(("http", "/"))
            answer = client.get(urljoin(str(page.url), part))
            assert answer.status_code == 200
        schema = answer.json()
        (server,) = schema["servers"]
        assert urljoin(str(answer.url), server["url"]).rstrip("/") == proxy.address + prefix
        assert set(SHOWN) <= set(schema["paths"])


@pytest.mark.parametrize("strips", [True, False])
def test_every_route_answers_under_the_prefix(published: Running, strips: bool, user: str) -> None:
    with (
        prefix_proxy(published.client.base_url, PREFIX, strips=strips) as proxy,
        httpx.Client(base_url=proxy.address + PREFIX) as client,
    ):
        told = client.post("/feedback", json={"user_id": f"a/{user}", "events": [{"item_id": "g1-1", "value": 5}]})
        assert told.json()["accepted"] == 1
        assert client.get("/recommend", params={"user_id": f"a/{user}"}).json()["source"] == "adapted"
        assert client.get(f"/users/a%2F{user}").json()["events"]
        assert client.delete(f"/users/a%2F{user}").json()["erased"]
        assert client.get("/health/ready").json()["status"] == "ready"
        assert client.head("/metrics").status_code == 200
    assert published.metrics()["kshot_request_seconds_count", ("POST", "/feedback", "200")] >= 1


def test_a_key_opens_its_route_under_the_prefix_and_no_other(trained_store: Path, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.json", [Scope.READ], "", datetime.now(UTC))
    flags = ("--root-path", PREFIX, "--keys-file", tmp_path / "keys.json")
    with running(trained_store, tmp_path / "service", *flags) as service:
        bearer = {"Authorization": f"Bearer {key}"}
        asks = {"params": {"user_id": "ann"}, "headers": bearer}
        for path in ("/recommend", "/recommend/", f"{PREFIX}/recommend", f"{PREFIX}/recommend/"):
            assert service.client.get(path, **asks).status_code == 200
            assert service.client.head(path, **asks).status_code == 200
            assert service.client.get(path, params={"user_id": "ann"}).status_code == 401
        for path in ("/docs", "/docs/", f"{PREFIX}/docs", f"{PREFIX}/users/ann", f"{PREFIX}{PREFIX}/recommend"):
            assert service.client.get(path, headers=bearer).status_code == 403
        assert service.client.get(f"{PREFIX}/health/live").status_code == 200


def test_the_page_runs_its_own_script_and_the_packages_only(service: Running) -> None:
    answer = service.client.get("/docs")
    (policy,) = answer.headers.get_list("content-security-policy")
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    (own,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    assert allowed["script-src"] == f"'self' 'sha256-{digest}'"
    assert (allowed["default-src"], allowed["connect-src"], allowed["frame-ancestors"]) == (
        *("'none'", "'self'", "'none'"),
    )
    assert not re.findall(r"https?:", answer.text + policy)


@pytest.mark.parametrize(("place", "kind"), [(0, "text/css"), (1, "text/javascript")])
def test_the_parts_have_their_kind_and_may_be_kept(service: Running, place: int, kind: str) -> None:
    part = [part for part in parts_of(service.client.get("/docs").text) if not part.startswith("data:")][place]
    answer = service.client.get(f"/{part}")
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers.get_list("cache-control") == ["private, max-age=31536000, immutable"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert b"swagger-ui" in answer.content or b"SwaggerUIBundle" in answer.content
    head = service.client.head(f"/{part}")
    assert (head.headers["content-length"], head.content) == (str(len(answer.content)), b"")
    # Of another release, as after an upgrade, there is none: a browser never gets one for the other.
    assert service.client.get(f"/{re.sub('[0-9.]+/', '0.0.0/', part)}").status_code == 404


def test_the_parts_come_with_the_base_install() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert any(re.match(r"fastapi-offline\b", needed) for needed in project["dependencies"])


def browse(address: str, folder: Path) -> tuple[str, set[str]]:
    """The page after its scripts ran, in a browser that can reach this machine alone; what the page asked for."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    log = folder / "net.json"
    command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--no-first-run", "--disable-background-networking", "--disable-component-update"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--virtual-time-budget=20000"]
    command += [f"--log-net-log={log}", "--dump-dom", address]
    page = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    started = (event.get("params", {}) for event in json.loads(log.read_text(encoding="utf-8"))["events"])
    return page, {each["url"] for each in started if "url" in each and each.get("initiator", "").startswith("http")}


@PLACES
def test_a_browser_shows_the_routes_and_asks_nobody_else(
    behind: Running, prefix: str, strips: bool, tmp_path: Path
) -> None:
    with prefix_proxy(behind.client.base_url, prefix, strips=strips) as proxy:
        page, asked = browse(f"{proxy.address}{prefix}/", tmp_path)
        assert [path for path in SHOWN if f'data-path="{path}"' not in page] == []
        assert f"{proxy.address}{prefix}/openapi.json" in asked
        assert [url for url in asked if not url.startswith(f"{proxy.address}{prefix}/")] == []


@PLACES
def test_trying_a_route_out_in_a_browser_reaches_it(behind: Running, prefix: str, strips: bool, tmp_path: Path) -> None:
    folder = parts_of(behind.client.get("/docs").text)[1].rpartition("/")[0]
    with prefix_proxy(behind.client.base_url, prefix, strips=strips) as proxy:
        proxy.pages[f"{prefix}/try"] = TRY_OUT.replace("$folder", folder)
        page, _ = browse(f"{proxy.address}{prefix}/try", tmp_path)
        assert f"{prefix}/health/live" in proxy.asked
        assert "live" in page
