"""Prometheus scrapes the service, and queries of alerts and dashboard name only metrics that the service exports."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import PurePosixPath

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from service import telemetry

SUFFIX = re.compile(r"_(total|bucket|count|sum)$")


def metrics_in(text):
    return {SUFFIX.sub("", name) for name in re.findall(r"\bkshot_[a-z_]+", text)}


def read_yaml(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def mounted_at(compose, service, path):
    """Path in the repository of a path inside a container."""
    for source, target, *_ in (volume.split(":") for volume in compose["services"][service]["volumes"]):
        if PurePosixPath(path).is_relative_to(target):
            return f"{source}/{PurePosixPath(path).relative_to(target)}"
    raise AssertionError(f"{service}: no volume is mounted at {path}")


@pytest.fixture(scope="session")
def declared():
    """Metrics that the service exports."""
    return {family.name for family in telemetry.REGISTRY.collect()}


@pytest.fixture(scope="session")
def labels():
    """Labels that a query can name: of the service, of a histogram, of a scrape."""
    metrics = [metric for metric in vars(telemetry).values() if isinstance(metric, MetricWrapperBase)]
    return {label for metric in metrics for label in metric._labelnames} | {"le", "instance", "job"}


@pytest.fixture(scope="session")
def prometheus(root):
    return read_yaml(root / "deploy/prometheus/prometheus.yml")


@pytest.fixture(scope="session")
def alerts(root, prometheus):
    files = [root / "deploy/prometheus" / name for name in prometheus["rule_files"]]
    return [rule for file in files for group in read_yaml(file)["groups"] for rule in group["rules"]]


@pytest.fixture(scope="session")
def dashboard(root):
    return json.loads((root / "deploy/grafana/dashboards/kshot.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def expressions(dashboard):
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_scrapes_the_port_and_path_that_the_service_has(prometheus, compose, routes):
    (job,) = prometheus["scrape_configs"]
    port = compose["services"]["service"]["ports"][0].split(":")[-1]
    assert job["static_configs"] == [{"targets": [f"service:{port}"]}]
    assert f'"{job["metrics_path"]}"' in routes
    (key,) = compose["services"]["prometheus"]["secrets"]
    assert job["authorization"] == {"type": "Bearer", "credentials_file": f"/run/secrets/{key}"}
    assert compose["secrets"][key] == {"file": f"./deploy/secrets/{key}"}
    assert set(compose["services"]["prometheus"]["networks"]) & set(compose["services"]["service"]["networks"])


def test_rules_are_mounted_where_prometheus_looks(root, compose, prometheus):
    config = mounted_at(compose, "prometheus", "/etc/prometheus/prometheus.yml")
    assert (root / config).is_file()
    assert all((root / config).with_name(name).is_file() for name in prometheus["rule_files"])


def test_dashboard_queries_only_declared_metrics(expressions, declared):
    names = metrics_in(" ".join(expressions))
    assert names
    assert names - declared == set()


def test_alerts_query_only_declared_metrics(alerts, declared):
    names = metrics_in(" ".join(rule["expr"] for rule in alerts))
    assert names
    assert names - declared == set()


def test_queries_name_only_labels_that_exist(expressions, alerts, labels):
    queries = " ".join([*expressions, *(rule["expr"] for rule in alerts)])
    grouped = [label for names in re.findall(r"\bby \(([^)]*)\)", queries) for label in names.split(", ")]
    selected = re.findall(r"[{,]\s*(\w+)(?:=~?|!=|!~)", queries)
    assert {"route", "type", "version"} <= set(grouped)
    assert {"status", "source"} <= set(selected)
    assert set(grouped + selected) <= labels


def test_every_alert_has_a_value_and_a_severity(alerts):
    assert len({rule["alert"] for rule in alerts}) == len(alerts)
    for rule in alerts:
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert "{{" in rule["annotations"]["summary"], rule["alert"]


@pytest.mark.parametrize(
    "metric",
    [
        "kshot_request_seconds",
        "kshot_adapt_seconds",
        "kshot_hit_rate_hits",
        "kshot_hit_rate_events",
        "kshot_store_hits",
        "kshot_recommendations",
        "kshot_bundle_info",
        "kshot_bundle_age_seconds",
        "kshot_feedback_events",
    ],
)
def test_dashboard_shows(expressions, metric):
    assert metric in metrics_in(" ".join(expressions))


def test_dashboard_uses_the_provisioned_source(root, dashboard, compose):
    (source,) = read_yaml(root / "deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    used = {part["datasource"]["uid"] for panel in dashboard["panels"] for part in (panel, *panel["targets"])}
    assert used == {source["uid"]}
    port = compose["services"]["prometheus"]["ports"][0].split(":")[-1]
    assert source["url"] == f"http://prometheus:{port}"


def test_dashboard_is_mounted_where_grafana_looks(root, compose):
    (provider,) = read_yaml(root / "deploy/grafana/provisioning/dashboards/kshot.yml")["providers"]
    folder = root / mounted_at(compose, "grafana", provider["options"]["path"])
    home = compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (folder / "kshot.json").is_file()
    assert (root / mounted_at(compose, "grafana", home)).is_file()
    assert (root / mounted_at(compose, "grafana", "/etc/grafana/provisioning/datasources/prometheus.yml")).is_file()


def test_panels_do_not_overlap(dashboard):
    positions = [panel["gridPos"] for panel in dashboard["panels"]]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(positions)
    for a, b in combinations(positions, 2):
        apart_x = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        apart_y = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert apart_x or apart_y, (a, b)
