"""Dockerfile: content, user and health check of both images."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from packaging.specifiers import SpecifierSet


def values(stage, word):
    return [value for instruction, value in stage if instruction == word]


def environment(stage):
    return dict(pair.split("=", 1) for line in values(stage, "ENV") for pair in line.split())


@pytest.fixture(scope="session")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_copied_file_exists_and_reaches_the_build(root, dockerfile):
    copied = [source for line in values(dockerfile["wheels"], "COPY") for source in line.split()[:-1]]
    admitted = re.findall(r"^!(.+)$", (root / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(copied) == sorted(admitted)
    assert [source for source in copied if not (root / source).exists()] == []


def test_service_image_has_the_base_install_only(dockerfile, project):
    installs = [line for line in values(dockerfile["service"], "RUN") if "pip install" in line]
    assert [re.split(r"\s+", line)[-1] for line in installs] == ["kshot"]
    assert not [need for need in project["dependencies"] if need.startswith(("torch", "polars", "scipy"))]


def test_training_image_installs_an_extra_that_exists(dockerfile, compose, project):
    declared = {line.split("=")[0]: line.partition("=")[2] for line in values(dockerfile["train"], "ARG")}
    extras = {declared["EXTRA"], compose["services"]["train"]["build"]["args"]["EXTRA"]}
    assert extras <= set(project["optional-dependencies"])


def test_torch_is_one_release_everywhere_and_within_the_range(root, dockerfile, project):
    image = next(line.partition("=")[2] for line in values(dockerfile["train"], "ARG") if line.startswith("TORCH="))
    make = re.search(r"^TORCH \?= torch==(\S+)$", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    allowed = next(need for need in project["optional-dependencies"]["train"] if need.startswith("torch"))
    assert make is not None
    assert make[1] == image
    assert image in SpecifierSet(allowed.removeprefix("torch"))


@pytest.mark.parametrize("target", ["service", "train"])
def test_image_runs_as_a_numeric_user_that_owns_the_store(dockerfile, target):
    user = values(dockerfile[target], "USER")[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    owner = "-o {} -g {}".format(*user.split(":"))
    assert f"install -d {owner} {environment(dockerfile[target])['KSHOT_BUNDLES']}" in values(dockerfile[target], "RUN")


def test_service_image_starts_a_kshot_command(dockerfile, kshot_help):
    assert json.loads(values(dockerfile["service"], "ENTRYPOINT")[-1]) == ["kshot"]
    assert json.loads(values(dockerfile["service"], "CMD")[-1]) == ["serve"]
    assert "--bundles" in kshot_help("serve")


def test_image_variables_are_settings(dockerfile, variables):
    names = {name for name in environment(dockerfile["service"]) if name.startswith("KSHOT_")}
    assert names == {"KSHOT_BUNDLES", "KSHOT_HOST", "KSHOT_PORT"}
    assert names <= variables


def test_port_is_the_same_in_all_files(dockerfile, compose):
    port = environment(dockerfile["service"])["KSHOT_PORT"]
    assert values(dockerfile["service"], "EXPOSE") == [port]
    assert [ports.split(":")[-1] for ports in compose["services"]["service"]["ports"]] == [port]


def test_health_check_requests_a_route_of_the_service(dockerfile, routes):
    check = values(dockerfile["service"], "HEALTHCHECK")[-1]
    assert '"/health/ready"' in routes
    assert "/health/ready" in check


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_health_check_passes_only_when_ready(dockerfile, status, healthy):
    command = json.loads(values(dockerfile["service"], "HEALTHCHECK")[-1].partition("CMD ")[2])
    assert command[0] == "python"
    with HTTPServer(("127.0.0.1", 0), answering(status)) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        env = os.environ | {"KSHOT_PORT": str(server.server_port)}
        checked = subprocess.run([sys.executable, *command[1:]], env=env, capture_output=True, check=False)
    assert (checked.returncode == 0) == healthy


def answering(status):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/health/ready" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    return Handler
