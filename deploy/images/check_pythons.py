"""Install kshot, serve a bundle and run the service's tests under several versions of Python.

    python deploy/images/check_pythons.py              every version but the one that runs this
    python deploy/images/check_pythons.py --python 3.13

A Python comes from a Debian root, made by debootstrap, if a Debian release has the version and the user is root.
Otherwise it is a ``pythonX.Y`` of this machine. The last commit is installed from a clone. Bundles are trained by the
Python that runs this script, so the others need no torch.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from debian_root import PYTHON_PACKAGES, RELEASES, make_root
from pip_settings import Mounts, mounts_for_build
from programs import SEARCHED, ImageError, find, run, say

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build/pythons"
PIP_CONF = FOLDER / "pip.conf"
PREPARED = FOLDER / "prepared"
VERSIONS = ("3.11", "3.12", "3.13")
# Programs that the service's tests start, besides Python.
ROOT_PACKAGES = (*PYTHON_PACKAGES, "openssl", "redis-server", "strace")
TEST_PACKAGES = ("httpx", "hypothesis", "polars", "pytest", "pytest-timeout", "pyyaml", "schemathesis")
NEEDS_TORCH = ("tests/service/stories/test_attributes.py",)
# Resolver of the network, and trusted certificates.
MACHINE_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs")
START_DEADLINE_S = 60.0


@dataclass(frozen=True)
class Installation:
    """A Python and its working folder.

    Attributes:
        python: its program.
        origin: its origin, for the report.
        folder: the working folder, as a path of this machine.
        root: root folder of its Debian; None for a Python of this machine.
        mounts: paths of this machine → paths in the root.
    """

    python: str
    origin: str
    folder: Path
    root: Path | None
    mounts: Mounts

    @property
    def inside(self) -> Path:
        """The working folder as a path in the root."""
        return Path("/", self.folder.relative_to(self.root)) if self.root else self.folder

    def command(self, *words: str | Path) -> list[str]:
        """A command line that runs ``words`` in the root with a clean environment."""
        settings = ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", f"HOME={self.inside}", "LANG=C.UTF-8"]
        settings.append("PIP_DISABLE_PIP_VERSION_CHECK=1")
        if self.root is None and PIP_CONF.exists():
            settings.append(f"PIP_CONFIG_FILE={PIP_CONF}")
        clean = ["env", "-i", f"--chdir={self.inside}", *settings, *map(str, words)]
        if self.root is None:
            return clean
        script = [
            f"mount --rbind {shlex.quote(str(path))} {shlex.quote(f'{self.root}{path_inside}')}"
            for path, path_inside in self._mounts()
        ]
        script.append(f"exec chroot {shlex.quote(str(self.root))} {shlex.join(clean)}")
        return ["unshare", "--mount", "--", "sh", "-ec", "\n".join(script)]

    def _mounts(self) -> list[tuple[Path, str]]:
        machine_mounts = [
            (Path(path), path) for path in ("/proc", "/dev", "/sys", *MACHINE_FILES) if Path(path).exists()
        ]
        return machine_mounts + [
            (path, path_inside) for path, path_inside in self.mounts.items() if path_inside not in MACHINE_FILES
        ]

    def make_mount_points(self) -> None:
        """Make the files and folders that serve as mount points of `command`."""
        if self.root is None:
            return
        for path, path_inside in self._mounts():
            target = Path(f"{self.root}{path_inside}")
            if path.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.is_symlink():
                    target.unlink()
                target.touch()


def main() -> int:
    """Check every version and print a line for each; 1 if one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", action="append", choices=VERSIONS, help="default: all but the running one")
    running = "{}.{}".format(*sys.version_info[:2])
    versions = parser.parse_args().python or [version for version in VERSIONS if version != running]
    try:
        prepare_stores()
        return max([check(version) for version in versions])
    except ImageError as error:
        say(f"pythons: {error}")
        return 1
    finally:
        PIP_CONF.unlink(missing_ok=True)  # an address in it may hold a password


def check(version: str) -> int:
    """Check one version and print a line about it; 1 for a failure, 0 for a success or an absent Python."""
    try:
        installation = find_installation(version)
        if installation is None:
            print(f"{version}: NOT CHECKED, no Debian release has it, and this machine has no python{version}")
            return 0
        print(f"{version}: {installation.origin}: {checked(installation)}", flush=True)
    except ImageError as error:
        print(f"{version}: FAILED: {error}", flush=True)
        return 1
    return 0


def find_installation(version: str) -> Installation | None:
    """Installation of Python ``version``; None if it is absent.

    Raises:
        ImageError: debootstrap failed.
    """
    mounts = mounts_for_build(sys.executable, PIP_CONF)
    if version in RELEASES and os.geteuid() == 0 and find("apt-get"):
        root = make_root(RELEASES[version], ROOT_PACKAGES, FOLDER / f"debian-{version}")
        return Installation("python3", f"Debian {RELEASES[version]} by debootstrap", root / "kshot", root, mounts)
    python = local_python(version)
    return Installation(python, f"{python} of this machine", FOLDER / f"local-{version}", None, {}) if python else None


def local_python(version: str) -> str | None:
    """Path of this machine's Python ``version``, on the PATH or among pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    paths = [find(f"python{version}"), *sorted(map(str, pyenv.glob(f"{version}.*/bin/python3")), reverse=True)]
    program = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    for path in filter(None, paths):
        try:
            if run([path, "-c", program]).strip() == version:
                return path
        except ImageError:
            continue
    return None


def checked(installation: Installation) -> str:
    """Install kshot, serve, and run the tests; a sentence about the results.

    Raises:
        ImageError: one of them failed.
    """
    put_files(installation)
    run(installation.command(installation.python, "-m", "venv", "venv"))
    python = installation.inside / "venv/bin/python"
    exact = run(installation.command(python, "-c", "import platform; print(platform.python_version())")).strip()
    started = time.monotonic()
    run(installation.command(python, "-m", "pip", "install", "--quiet", "./clone[embedded]"))
    installed_s = time.monotonic() - started
    served = serve_once(installation)
    run(installation.command(python, "-m", "pip", "install", "--quiet", *test_requirements()))
    return f"Python {exact}, installed in {installed_s:.0f} s, {served}, tests: {run_tests(installation)}"


def prepare_stores() -> None:
    """Train the bundles of the tests with the Python that runs this script.

    Raises:
        ImageError: the training failed.
    """
    say("training the bundles of the tests")
    shutil.rmtree(PREPARED, ignore_errors=True)
    run([sys.executable, ROOT / "tests/support/prepared_stores.py", PREPARED], env={"PYTHONPATH": str(ROOT)})


def put_files(installation: Installation) -> None:
    """Copy a clone of the last commit and the trained bundles into an empty working folder."""
    shutil.rmtree(installation.folder, ignore_errors=True)
    installation.folder.mkdir(parents=True)
    run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, installation.folder / "clone"])
    shutil.copytree(PREPARED, installation.folder / "prepared")
    installation.make_mount_points()


def test_requirements() -> list[str]:
    """Requirements of the service's tests, as in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    rows = [row for name in ("dev", "train") for row in extras[name]]
    return [row for row in rows if re.split(r"[\[<>=]", row)[0] in TEST_PACKAGES]


def serve_once(installation: Installation) -> str:
    """Serve the trained bundle with the base install, request a list, and stop; a sentence about it.

    Raises:
        ImageError: there was no list, or the service stopped with an error.
    """
    command = installation.command(
        "venv/bin/kshot", "serve", "--bundles", "prepared/trained", "--data-dir", "users", "--port", "0"
    )
    env = os.environ | {"PATH": SEARCHED}
    with (installation.folder / "service.log").open("w+") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=env)  # noqa: S603 - ours
        try:
            items = listed(process)
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(START_DEADLINE_S)
        log.seek(0)
        if code or not items:
            raise ImageError(f"kshot serve: {items} items, exit code {code}, expected 20 and 0:\n{log.read()}")
    return f"served {items} items"


def listed(process: subprocess.Popen[str]) -> int:
    """Number of items in a list of the service; 0 if it does not start."""
    line = process.stdout.readline() if process.stdout else ""
    if not line.startswith("serving on http://"):
        return 0
    address = f"{line.split()[-1]}/recommend?user_id=eve&k=20"
    with urllib.request.urlopen(address, timeout=START_DEADLINE_S) as response:  # noqa: S310 - our own service
        text: str = response.read().decode()
    return text.count('"item_id"')


def run_tests(installation: Installation) -> str:
    """Run the service's tests; the last line of pytest.

    Raises:
        ImageError: a test failed.
    """
    ignored = [f"--ignore={path}" for path in NEEDS_TORCH]
    words: Sequence[str] = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/service", *ignored]
    command = installation.command(
        "env",
        "--chdir=clone",
        installation.inside / "venv/bin/python",
        *words,
        f"--prepared={installation.inside}/prepared",
    )
    return run(command).strip().splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())
