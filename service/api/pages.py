"""The page that documents the routes: Swagger UI, of one release whose content is known by its hash."""

from __future__ import annotations

import base64
import hashlib
from string import Template

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

# Files of the npm package, as jsDelivr serves them.
SWAGGER_UI = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5.35.0"
BUNDLE_SHA384 = "sha384-gjRm0bEPMeTmMh5jT2cHccIwCUZSTd8YC+j0d0sXw0MdGEfScduGpSyF3ZSSLkX9"
STYLE_SHA384 = "sha384-WlYgdmXYOOBWL5apwjDEZwN+U3HmXSSu5R6V5aGxEcf7z+KuRNwBhoxKVN1i3D5I"

SCRIPT = "SwaggerUIBundle({url: '/openapi.json', dom_id: '#swagger-ui', deepLinking: true})"
PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>kshot</title>
<link rel="stylesheet" href="$ui/swagger-ui.css" integrity="$style" crossorigin="anonymous">
</head>
<body>
<div id="swagger-ui"></div>
<script src="$ui/swagger-ui-bundle.js" integrity="$bundle" crossorigin="anonymous"></script>
<script>$script</script>
</body>
</html>
""")


def add_docs(app: FastAPI) -> None:
    """Serve the page at /docs under a policy that lets in its own script, that release, and nothing else."""
    page = PAGE.substitute(ui=SWAGGER_UI, style=STYLE_SHA384, bundle=BUNDLE_SHA384, script=SCRIPT)
    headers = {"Content-Security-Policy": content_policy()}

    @app.get("/docs", include_in_schema=False)
    async def get_docs() -> HTMLResponse:
        return HTMLResponse(page, headers=headers)


def content_policy() -> str:
    """The page's Content-Security-Policy. Swagger UI sets styles on elements and draws with data: images."""
    own = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{own}' {SWAGGER_UI}/; style-src 'unsafe-inline' {SWAGGER_UI}/; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
