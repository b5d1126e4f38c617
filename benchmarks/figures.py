"""What was measured last, kept so that the cost model can be computed from it."""

import json
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).parent / "figures.json"

Figures = dict[str, float]
"""Name with unit, such as ``read_ms_per_tile``, and value."""


def read_figures() -> Figures:
    """Read what was measured last; empty where nothing was."""
    return dict(json.loads(_FILE.read_text(encoding="utf-8"))) if _FILE.exists() else {}


def write_figures(figures: Figures) -> None:
    """Keep figures, beside those of other parts."""
    merged = {**read_figures(), **{name: float(f"{value:.4g}") for name, value in figures.items()}}
    _FILE.write_text(json.dumps(dict(sorted(merged.items())), indent=1) + "\n", encoding="utf-8")
