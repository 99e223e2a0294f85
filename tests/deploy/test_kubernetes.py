"""The Kubernetes manifests agree with the image and with the service."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def pod(kubernetes):
    return kubernetes["Deployment"]["spec"]["template"]


@pytest.fixture(scope="session")
def container(pod):
    (only,) = pod["spec"]["containers"]
    return only


def test_probes_request_routes_of_the_service(container, routes):
    probes = [container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")]
    assert probes == ["/health/live", "/health/live", "/health/ready"]
    assert [path for path in probes if f'"{path}"' not in routes] == []


def test_variables_are_settings(container, variables):
    assert {variable["name"] for variable in container["env"]} <= variables


def test_ports_agree_with_the_image(container, pod, kubernetes, dockerfile):
    exposed = next(value for word, value in dockerfile["service"] if word == "EXPOSE")
    assert container["ports"] == [{"name": "http", "containerPort": int(exposed)}]
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == exposed
    assert kubernetes["Service"]["spec"]["ports"][0]["targetPort"] == "http"


def test_mounts_are_volumes_of_the_pod_and_contain_the_password(container, pod):
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod["spec"]["volumes"]}
    password = next(entry["value"] for entry in container["env"] if entry["name"] == "KSHOT_REDIS_PASSWORD_FILE")
    assert password == f"{mounts['redis-password']}/password"


def test_the_keys_file_is_in_its_secret(container, pod):
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    keys_file = next(entry["value"] for entry in container["env"] if entry["name"] == "KSHOT_KEYS_FILE")
    assert keys_file == f"{mounts['keys']}/keys.json"
    assert {"name": "keys", "secret": {"secretName": "kshot-keys"}} in pod["spec"]["volumes"]


def test_runs_as_the_user_of_the_image_with_a_read_only_root(container, pod, dockerfile):
    user = [value for word, value in dockerfile["service"] if word == "USER"][-1]
    security = pod["spec"]["securityContext"]
    assert user == f"{security['runAsUser']}:{security['runAsGroup']}"
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_selectors_match_the_pods(kubernetes, pod):
    labels = pod["metadata"]["labels"]
    assert kubernetes["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert kubernetes["Service"]["spec"]["selector"] == labels
    assert kubernetes["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert kubernetes["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "kshot"


def test_the_service_of_this_name_sets_no_variables(pod, kubernetes):
    """Kubernetes would set KSHOT_PORT to the address of a Service named kshot, in every container started later."""
    assert kubernetes["Service"]["metadata"]["name"] == "kshot"
    assert pod["spec"]["enableServiceLinks"] is False
