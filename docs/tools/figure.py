"""Draw the README's figure from the report of a bundle.

``python docs/tools/figure.py REPORT.json`` writes docs/images/k-shot-curve.svg. The figure in the repository was made
from the bundle that ``kshot train --data demo:movies`` publishes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from model_store.reports.charts import k_shot_curve
from model_store.reports.results import KShotResults

FIGURE = Path(__file__).parents[1] / "images" / "k-shot-curve.svg"


def main(arguments: Sequence[str], figure: Path = FIGURE) -> int:
    """Draw ``figure`` from one report; the exit code."""
    if len(arguments) != 1:
        print("expected one argument, the report.json of a bundle; e.g. make figure REPORT=bundles/…/report.json")
        return 2
    figure.write_text(k_shot_curve(KShotResults.read(Path(arguments[0]))), encoding="utf-8")
    print(figure)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
