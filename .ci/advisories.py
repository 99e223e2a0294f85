"""Reads what ``pip-audit --format json`` found and says it honestly: what was not checked is not fine.

pip-audit itself ends well where its service knows none of the packages. Nothing at all on standard input means that
the service could not be reached. Ends with 1 if a package has a known vulnerability.
"""

from __future__ import annotations

import json
import sys


def main() -> int:
    """Print one line a finding, then what was checked."""
    text = sys.stdin.read()
    packages = json.loads(text)["dependencies"] if text.strip() else []
    checked = [package for package in packages if "vulns" in package]
    found = [(package, each) for package in checked for each in package["vulns"]]
    for package, each in found:
        mended = ", ".join(each["fix_versions"]) or "no release"
        print(f"{package['name']} {package['version']}: {each['id']}, mended in {mended}")
    if not checked:
        print("advisories: the service could not be reached or knows no package, NOTHING was checked", file=sys.stderr)
    else:
        print(f"advisories: {len(checked)} packages checked, {len(packages) - len(checked)} not, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
