"""Draw the packages of vst_dicom and who imports whom, from the code itself: ``make graph``."""

import sys
import tomllib
from pathlib import Path

import grimp
from matplotlib.figure import Figure


def main(picture: Path) -> None:
    """Write the picture as SVG; layers come from the import contract."""
    contracts = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [layer.split(" | ") for layer in contracts[0]["layers"]]
    graph = grimp.build_graph("vst_dicom")
    place = {
        package: ((column + 0.5) / len(layer), -row)
        for row, layer in enumerate(layers)
        for column, package in enumerate(layer)
    }
    figure = Figure(figsize=(9, 1.05 * len(layers)))
    axes = figure.add_axes((0, 0, 1, 1))
    modules = {package: {package, *graph.find_descendants(package)} for package in place}
    for upper, lower in ((a, b) for a in place for b in place if a != b):
        if any(graph.direct_import_exists(importer=m, imported=n) for m in modules[upper] for n in modules[lower]):
            style = {"arrowstyle": "-|>", "color": "#9aa3b2", "lw": 0.9, "shrinkA": 13, "shrinkB": 13}
            axes.annotate("", place[lower], xytext=place[upper], arrowprops=style)
    for package, (x, y) in place.items():
        box = {"boxstyle": "round,pad=0.45", "fc": "#eef3fb", "ec": "#41669c"}
        axes.text(x, y, package.removeprefix("vst_dicom."), ha="center", va="center", fontsize=12, bbox=box)
    axes.set_xlim(0, 1)
    axes.set_ylim(-len(layers) + 0.4, 0.6)
    axes.set_axis_off()
    figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
