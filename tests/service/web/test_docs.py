"""The documentation page works without the internet, and under any path of a proxy."""

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
# The page after a user opens an operation and presses its button.
TRY_OUT = """<!DOCTYPE html><link rel="stylesheet" href="$folder/swagger-ui.css"><div id="swagger-ui"></div>
<script src="$folder/swagger-ui-bundle.js"></script><script>
SwaggerUIBundle({url: 'openapi.json', dom_id: '#swagger-ui', docExpansion: 'full', tryItOutEnabled: true})
// A click before the page is ready has no effect, so it is repeated until there is a response.
setInterval(() => {
  const response = document.querySelector('[id*=health_live] .live-responses-table')
  const button = document.querySelector('[id*=health_live] .execute')
  if (button && !response) button.click()
}, 500)
</script>"""


@pytest.fixture(scope="module")
def published(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that is configured with its path behind a proxy."""
    with running(trained_store, tmp_path_factory.mktemp("published"), "--root-path", PREFIX) as started:
        yield started


@pytest.fixture
def behind(request: pytest.FixtureRequest) -> Running:
    """The service of the fixture with this name."""
    started: Running = request.getfixturevalue(request.param)
    return started


POSITIONS = pytest.mark.parametrize(
    ("behind", "prefix", "strips"),
    [("service", "", False), ("service", PREFIX, True), ("published", PREFIX, True), ("published", PREFIX, False)],
    indirect=["behind"],
)


def addresses_in(page: str) -> list[str]:
    """The addresses in the page."""
    return re.findall(r'(?:src|href)="([^"]+)"', page)


@POSITIONS
def test_the_page_and_its_assets_are_served_under_every_path(behind: Running, prefix: str, strips: bool) -> None:
    with prefix_proxy(behind.client.base_url, prefix, strips=strips) as proxy, httpx.Client() as client:
        for path in ("/", "/docs", "/docs/"):
            page = client.get(proxy.address + prefix + path, follow_redirects=True)
            assert (page.status_code, str(page.url)) == (200, f"{proxy.address}{prefix}/docs")
        assets = [asset for asset in addresses_in(page.text) if not asset.startswith("data:")]
        assert len(assets) == 2
        for asset in (*assets, "openapi.json"):
            assert not asset.startswith(("http", "/"))
            response = client.get(urljoin(str(page.url), asset))
            assert response.status_code == 200
        schema = response.json()
        (server,) = schema["servers"]
        assert urljoin(str(response.url), server["url"]).rstrip("/") == proxy.address + prefix
        assert set(SHOWN) <= set(schema["paths"])


@pytest.mark.parametrize("strips", [True, False])
def test_every_route_works_under_the_prefix(published: Running, strips: bool, user: str) -> None:
    with (
        prefix_proxy(published.client.base_url, PREFIX, strips=strips) as proxy,
        httpx.Client(base_url=proxy.address + PREFIX) as client,
    ):
        receipt = client.post("/feedback", json={"user_id": f"a/{user}", "events": [{"item_id": "g1-1", "value": 5}]})
        assert receipt.json()["accepted"] == 1
        assert client.get("/recommend", params={"user_id": f"a/{user}"}).json()["source"] == "adapted"
        assert client.get(f"/users/a%2F{user}").json()["events"]
        assert client.delete(f"/users/a%2F{user}").json()["erased"]
        assert client.get("/health/ready").json()["status"] == "ready"
        assert client.head("/metrics").status_code == 200
    assert published.metrics()["kshot_request_seconds_count", ("POST", "/feedback", "200")] >= 1


def test_a_key_permits_its_route_under_the_prefix_and_no_other(trained_store: Path, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.json", [Scope.READ], "", datetime.now(UTC))
    flags = ("--root-path", PREFIX, "--keys-file", tmp_path / "keys.json")
    with running(trained_store, tmp_path / "service", *flags) as service:
        bearer = {"Authorization": f"Bearer {key}"}
        options = {"params": {"user_id": "ann"}, "headers": bearer}
        for path in ("/recommend", "/recommend/", f"{PREFIX}/recommend", f"{PREFIX}/recommend/"):
            assert service.client.get(path, **options).status_code == 200
            assert service.client.head(path, **options).status_code == 200
            assert service.client.get(path, params={"user_id": "ann"}).status_code == 401
        for path in ("/docs", "/docs/", f"{PREFIX}/docs", f"{PREFIX}/users/ann", f"{PREFIX}{PREFIX}/recommend"):
            assert service.client.get(path, headers=bearer).status_code == 403
        assert service.client.get(f"{PREFIX}/health/live").status_code == 200


def test_the_policy_permits_the_script_of_the_page_and_the_package_only(service: Running) -> None:
    response = service.client.get("/docs")
    (policy,) = response.headers.get_list("content-security-policy")
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    (script,) = re.findall(r"<script>(.*?)</script>", response.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert allowed["script-src"] == f"'self' 'sha256-{digest}'"
    assert (allowed["default-src"], allowed["connect-src"], allowed["frame-ancestors"]) == (
        *("'none'", "'self'", "'none'"),
    )
    assert not re.findall(r"https?:", response.text + policy)


@pytest.mark.parametrize(("index", "kind"), [(0, "text/css"), (1, "text/javascript")])
def test_the_assets_have_their_content_type_and_can_be_cached(service: Running, index: int, kind: str) -> None:
    assets = addresses_in(service.client.get("/docs").text)
    asset = [asset for asset in assets if not asset.startswith("data:")][index]
    response = service.client.get(f"/{asset}")
    assert response.headers["content-type"].startswith(kind)
    assert response.headers.get_list("cache-control") == ["private, max-age=31536000, immutable"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert b"swagger-ui" in response.content or b"SwaggerUIBundle" in response.content
    head = service.client.head(f"/{asset}")
    assert (head.headers["content-length"], head.content) == (str(len(response.content)), b"")
    # Another release is not served, so that a browser never mixes two after an upgrade.
    assert service.client.get(f"/{re.sub('[0-9.]+/', '0.0.0/', asset)}").status_code == 404


def test_the_assets_come_with_the_base_install() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert any(re.match(r"fastapi-offline\b", dependency) for dependency in project["dependencies"])


def browse(address: str, folder: Path) -> tuple[str, set[str]]:
    """The page after its scripts ran, in a browser that reaches this machine only, and the addresses it loaded."""
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
    return page, {load["url"] for load in started if "url" in load and load.get("initiator", "").startswith("http")}


@POSITIONS
def test_a_browser_shows_the_routes_and_loads_nothing_from_other_hosts(
    behind: Running, prefix: str, strips: bool, tmp_path: Path
) -> None:
    with prefix_proxy(behind.client.base_url, prefix, strips=strips) as proxy:
        page, loaded = browse(f"{proxy.address}{prefix}/", tmp_path)
        assert [path for path in SHOWN if f'data-path="{path}"' not in page] == []
        assert f"{proxy.address}{prefix}/openapi.json" in loaded
        assert [url for url in loaded if not url.startswith(f"{proxy.address}{prefix}/")] == []


@POSITIONS
def test_trying_a_route_out_in_a_browser_reaches_it(behind: Running, prefix: str, strips: bool, tmp_path: Path) -> None:
    folder = addresses_in(behind.client.get("/docs").text)[1].rpartition("/")[0]
    with prefix_proxy(behind.client.base_url, prefix, strips=strips) as proxy:
        proxy.pages[f"{prefix}/try"] = TRY_OUT.replace("$folder", folder)
        page, _ = browse(f"{proxy.address}{prefix}/try", tmp_path)
        assert f"{prefix}/health/live" in proxy.paths
        assert "live" in page
