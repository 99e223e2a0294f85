"""The page that documents the routes: Swagger UI out of a package, so that it works without the internet.

All addresses are relative to /docs, so that the page works under any path of a proxy.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from string import Template

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

# fastapi-offline ships a release of swagger-ui-dist in the folder "static"; its code is not imported.
PACKAGE = "fastapi-offline"
ASSETS = {"swagger-ui.css": "text/css; charset=utf-8", "swagger-ui-bundle.js": "text/javascript; charset=utf-8"}
# With the package's version, so that a browser can cache the assets for good and loads new ones after an upgrade.
FOLDER = f"docs/{version(PACKAGE)}"
CACHED = "private, max-age=31536000, immutable"

PATHS = frozenset({"/", "/docs", "/docs/", "/openapi.json", *(f"/{FOLDER}/{name}" for name in ASSETS)})
"""Paths of the documentation page and its assets."""

SCRIPT = "SwaggerUIBundle({url: 'openapi.json', dom_id: '#swagger-ui', deepLinking: true})"
PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>kshot</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="$folder/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="$folder/swagger-ui-bundle.js"></script>
<script>$script</script>
</body>
</html>
""")


def add_docs(app: FastAPI, root_path: str) -> None:
    """Serve the page at /docs, with a policy that permits its own script and the package's; / redirects there."""
    page = PAGE.substitute(folder=FOLDER, script=SCRIPT)
    headers = {"Content-Security-Policy": content_policy()}

    @app.get("/docs", include_in_schema=False)
    async def get_docs() -> HTMLResponse:
        return HTMLResponse(page, headers=headers)

    # Absolute if the path is known: from /prefix without a trailing slash a relative address would lead elsewhere.
    @app.get("/", include_in_schema=False)
    async def get_root() -> RedirectResponse:
        return RedirectResponse(f"{root_path}/docs" if root_path else "docs")

    @app.get("/docs/", include_in_schema=False)
    async def get_docs_with_slash() -> RedirectResponse:
        return RedirectResponse("../docs")

    for name, kind in ASSETS.items():
        _add_asset(app, name, kind)


def _add_asset(app: FastAPI, name: str, kind: str) -> None:
    path = _package() / "static" / name

    @app.get(f"/{FOLDER}/{name}", include_in_schema=False)
    async def get_asset() -> FileResponse:
        return FileResponse(path, media_type=kind, headers={"Cache-Control": CACHED})


def _package() -> Path:
    spec = find_spec(PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{PACKAGE}: not installed, expected it as a dependency of kshot")
    return Path(spec.origin).parent


def content_policy() -> str:
    """The page's Content-Security-Policy. Swagger UI uses inline styles and data: images."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
