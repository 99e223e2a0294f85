"""Content of both images, built from the Dockerfile. Long runs only: ``make imagetest``."""

from __future__ import annotations

import contained
import pytest

IMAGES = {"service": "kshot:local", "train": "kshot-train:local"}
ABSENT = """
import importlib.util, sys
print([name for name in sys.argv[1:] if importlib.util.find_spec(name) is None])
"""


@pytest.fixture
def run(images, roots, tmp_path):
    """Run a command in a fresh container: exit code, output and log."""

    def run_command(target, *command):
        configuration = images.configuration(IMAGES[target]) | {"Entrypoint": []}
        code, ended = contained.finished(
            contained.spec_of(roots[IMAGES[target]], configuration, *command), tmp_path / "run"
        )
        return code, ended.output(), ended.log()

    return run_command


def files_in(root, *folders):
    return [path for name in folders for path in (root / name).rglob("*") if path.is_file()]


def test_service_image_has_no_package_of_the_training(run):
    packages = ["torch", "polars", "scipy", "implicit", "onnx"]
    code, output, log = run("service", "python", "-c", ABSENT, *packages)
    assert (code, output.strip()) == (0, str(packages)), log


def test_train_image_has_the_torch_of_the_dockerfile(run, dockerfile):
    expected = next(rest.partition("=")[2] for word, rest in dockerfile["train"] if rest.startswith("TORCH="))
    code, output, log = run("train", "python", "-c", "import torch; print(torch.__version__.split('+')[0])")
    assert (code, output.strip()) == (0, expected), log


def test_packages_of_an_image_are_compatible(run):
    code, output, log = run("train", "python", "-m", "pip", "check")
    assert code == 0, output + log


@pytest.mark.parametrize("target", IMAGES)
def test_image_contains_nothing_of_its_build(roots, target):
    root = roots[IMAGES[target]]
    assert not (root / "wheels").exists()
    assert not (root / "src").exists()
    leftovers = files_in(root, "root/.cache", "root/.config", "tmp", "var/cache/apt", "opt", "mnt")
    assert [path for path in leftovers if path.stat().st_size] == []
    assert [path for path in files_in(root, "usr/local") if path.suffix == ".whl"] == []
    settings = root / "etc/pip.conf"
    assert not settings.exists() or settings.stat().st_size == 0


@pytest.mark.parametrize("target", IMAGES)
@pytest.mark.parametrize("package", ["service", "model_store"])
def test_image_contains_every_file_of_a_package_and_no_other(root, roots, target, package):
    """A file missing in package-data is absent from wheels, but not from a developer's clone."""
    (packages,) = roots[IMAGES[target]].glob("usr/local/lib/python3*/site-packages")
    assert files_of(packages / package) == files_of(root / package)


def files_of(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_service_image_keeps_its_health_check(images):
    check = images.configuration(IMAGES["service"])["Healthcheck"]
    assert check["Test"][:2] == ["CMD", "python"]
    assert check["Retries"] == 3


@pytest.mark.parametrize("target", IMAGES)
def test_command_line_starts_on_a_read_only_root(run, target):
    code, output, log = run(target, "kshot", "--help")
    assert code == 0, log
    assert "serve" in output


def test_service_image_without_keys_names_the_setting(images, roots, tmp_path):
    image = images.configuration(IMAGES["service"])
    code, ended = contained.finished(contained.spec_of(roots[IMAGES["service"]], image), tmp_path / "bare")
    assert code == 1
    assert "KSHOT_KEYS_FILE" in ended.log()
    assert "Traceback" not in ended.log()
