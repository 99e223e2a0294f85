"""The service as a whole: the modules it loads, and its connection to the user store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from running_service import running
from store_servers import PASSWORD, tls_redis


def test_a_service_loads_nothing_that_only_training_needs(trained_store: Path) -> None:
    program = "import sys, service.commands.serve, service.main; service.main.create_app(); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"KSHOT_BUNDLES": str(trained_store), "KSHOT_REDIS": "redis://127.0.0.1:1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.split()
    assert "service.main" in loaded
    assert not {"torch", "polars", "scipy", "matplotlib", "jinja2", "rich.progress"} & set(loaded)


def test_a_service_connects_to_its_store_over_tls_and_to_no_other(trained_store: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(PASSWORD)
    with tls_redis(tmp_path) as (port, certificate):
        env = {
            "KSHOT_REDIS": f"rediss://127.0.0.1:{port}/0",
            "KSHOT_REDIS_PASSWORD_FILE": str(tmp_path / "password"),
            "KSHOT_DURABILITY": "fast",
            "KSHOT_USER_RATE": "2/hour",
        }
        with running(trained_store, tmp_path / "with", env=env | {"KSHOT_REDIS_CA_FILE": str(certificate)}) as service:
            service.like("ann", "g1-1")
            assert service.recommend("ann")["source"] == "adapted"
            assert service.client.get("/recommend?user_id=ann").status_code == 429
        with running(trained_store, tmp_path / "without", env=env) as service:
            assert service.recommend("ann")["source"] == "degraded"
