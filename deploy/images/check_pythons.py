"""Install kshot, serve a bundle and run the service's tests under the Pythons that this machine can have.

    python deploy/images/check_pythons.py              every version but the one that runs this
    python deploy/images/check_pythons.py --python 3.13

A Python comes out of a Debian root made by debootstrap where there is such a release and this is root; else it is a
``pythonX.Y`` of this machine. What is installed is the last commit, from a clone. The bundles are trained ahead by the
Python that runs this, which has torch: the others need none.
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
# Beside Python: what the tests of the service start or call.
ROOT_PACKAGES = (*PYTHON_PACKAGES, "openssl", "redis-server", "strace")
TEST_PACKAGES = ("httpx", "hypothesis", "polars", "pytest", "pytest-timeout", "pyyaml", "schemathesis")
NEEDS_TORCH = ("tests/service/stories/test_attributes.py",)
# Files that name the network's resolver and the certificates that count here.
MACHINE_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs")
START_DEADLINE_S = 60.0


@dataclass(frozen=True)
class Place:
    """A Python and the folder to work in, as this machine and as that Python name it.

    ``root`` is the root folder that it lives in, None for this machine's own.
    """

    python: str
    origin: str
    folder: Path
    root: Path | None
    mounts: Mounts

    @property
    def inside(self) -> Path:
        """The folder's name for programs that run in the root."""
        return Path("/", self.folder.relative_to(self.root)) if self.root else self.folder

    def command(self, *words: str | Path) -> list[str]:
        """A command line that runs ``words`` in the place, with a clean environment."""
        settings = ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", f"HOME={self.inside}", "LANG=C.UTF-8"]
        settings.append("PIP_DISABLE_PIP_VERSION_CHECK=1")
        if self.root is None and PIP_CONF.exists():
            settings.append(f"PIP_CONFIG_FILE={PIP_CONF}")
        clean = ["env", "-i", f"--chdir={self.inside}", *settings, *map(str, words)]
        if self.root is None:
            return clean
        script = [
            f"mount --rbind {shlex.quote(str(path))} {shlex.quote(f'{self.root}{place}')}"
            for path, place in self._mounts()
        ]
        script.append(f"exec chroot {shlex.quote(str(self.root))} {shlex.join(clean)}")
        return ["unshare", "--mount", "--", "sh", "-ec", "\n".join(script)]

    def _mounts(self) -> list[tuple[Path, str]]:
        own = [(Path(path), path) for path in ("/proc", "/dev", "/sys", *MACHINE_FILES) if Path(path).exists()]
        return own + [(path, place) for path, place in self.mounts.items() if place not in MACHINE_FILES]

    def make_mount_points(self) -> None:
        """Make the files and folders that `command` mounts something at."""
        if self.root is None:
            return
        for path, place in self._mounts():
            target = Path(f"{self.root}{place}")
            if path.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.is_symlink():
                    target.unlink()
                target.touch()


def main() -> int:
    """Check every version, print a line for each; 1 if one that could be had failed."""
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
    """Check one version and print a line about it: 0 if all went well or there is no such Python, else 1."""
    try:
        place = place_of(version)
        if place is None:
            print(f"{version}: NOT CHECKED, no Debian release that brings it and no python{version} on this machine")
            return 0
        print(f"{version}: {place.origin}: {checked(place)}", flush=True)
    except ImageError as error:
        print(f"{version}: FAILED: {error}", flush=True)
        return 1
    return 0


def place_of(version: str) -> Place | None:
    """Place with Python ``version``; None where there is none.

    Raises:
        ImageError: debootstrap failed.
    """
    mounts = mounts_for_build(sys.executable, PIP_CONF)
    if version in RELEASES and os.geteuid() == 0 and find("apt-get"):
        root = make_root(RELEASES[version], ROOT_PACKAGES, FOLDER / f"debian-{version}")
        return Place("python3", f"Debian {RELEASES[version]} by debootstrap", root / "kshot", root, mounts)
    python = own_python(version)
    return Place(python, f"{python} of this machine", FOLDER / f"own-{version}", None, {}) if python else None


def own_python(version: str) -> str | None:
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


def checked(place: Place) -> str:
    """Sentence about a place in which kshot was installed, served, and passed the tests.

    Raises:
        ImageError: one of them failed.
    """
    put_files(place)
    run(place.command(place.python, "-m", "venv", "venv"))
    python = place.inside / "venv/bin/python"
    exact = run(place.command(python, "-c", "import platform; print(platform.python_version())")).strip()
    started = time.monotonic()
    run(place.command(python, "-m", "pip", "install", "--quiet", "./clone[embedded]"))
    installed_s = time.monotonic() - started
    answer = serve_once(place)
    run(place.command(python, "-m", "pip", "install", "--quiet", *test_requirements()))
    return f"Python {exact}, installed in {installed_s:.0f} s, {answer}, tests: {run_tests(place)}"


def prepare_stores() -> None:
    """Train the bundles that the tests serve, by the Python that runs this.

    Raises:
        ImageError: the training failed.
    """
    say("training the bundles that the tests serve")
    shutil.rmtree(PREPARED, ignore_errors=True)
    run([sys.executable, ROOT / "tests/support/prepared_stores.py", PREPARED], env={"PYTHONPATH": str(ROOT)})


def put_files(place: Place) -> None:
    """Put a clone of the last commit and the two stores into the place, and nothing else."""
    shutil.rmtree(place.folder, ignore_errors=True)
    place.folder.mkdir(parents=True)
    run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, place.folder / "clone"])
    shutil.copytree(PREPARED, place.folder / "prepared")
    place.make_mount_points()


def test_requirements() -> list[str]:
    """What the service's tests need, as pyproject.toml asks for it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    rows = [row for name in ("dev", "train") for row in extras[name]]
    return [row for row in rows if re.split(r"[\[<>=]", row)[0] in TEST_PACKAGES]


def serve_once(place: Place) -> str:
    """Serve the trained bundle with the base install, ask for a list, stop; a sentence about it.

    Raises:
        ImageError: no list came, or the service did not stop well.
    """
    command = place.command(
        "venv/bin/kshot", "serve", "--bundles", "prepared/trained", "--data-dir", "users", "--port", "0"
    )
    env = os.environ | {"PATH": SEARCHED}
    with (place.folder / "service.log").open("w+") as log:
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
    """How many items a list of the service has; 0 if it does not start."""
    line = process.stdout.readline() if process.stdout else ""
    if not line.startswith("serving on http://"):
        return 0
    address = f"{line.split()[-1]}/recommend?user_id=eve&k=20"
    with urllib.request.urlopen(address, timeout=START_DEADLINE_S) as answer:  # noqa: S310 - our own service
        text: str = answer.read().decode()
    return text.count('"item_id"')


def run_tests(place: Place) -> str:
    """The last line of pytest about the service's tests.

    Raises:
        ImageError: a test failed.
    """
    left_out = [f"--ignore={path}" for path in NEEDS_TORCH]
    words: Sequence[str] = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/service", *left_out]
    command = place.command(
        "env", "--chdir=clone", place.inside / "venv/bin/python", *words, f"--prepared={place.inside}/prepared"
    )
    return run(command).strip().splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())
