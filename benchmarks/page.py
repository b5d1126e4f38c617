"""``python -m benchmarks.page``: how fast the page is, in Chromium without a window, on this machine.

Needs the tests beside it: they bring the browser and a slide whose result is known.
"""

import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tests.page.planted_site import plant_site
from tests.service.served import Web
from tests.viewers.screen import open_browser
from vst_dicom.service.tile_values import TileValues

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_ROUNDS: Final = 7
_SIDE: Final = 100
_N_GENES: Final = 250

_SWITCH: Final = """
async (name) => {
  const element = slidePage.maps.lead.element, began = performance.now();
  const drawn = new Promise((done) => new MutationObserver((_, observer) => {
    if (element.dataset.shown === name) { observer.disconnect(); requestAnimationFrame(() => setTimeout(done)); }
  }).observe(element, { attributes: true }));
  slidePage.state.set({ first: name });
  await drawn;
  return performance.now() - began;
}
"""
_FIRST_VIEW: Final = """
() => new Promise((done) => {
  const look = () => {
    const item = window.slidePage?.maps.lead.viewer?.world.getItemAt(0);
    if (item?.getFullyLoaded()) requestAnimationFrame(() => setTimeout(() => done(performance.now())));
    else requestAnimationFrame(look);
  };
  look();
})
"""
_FIRST_FRAME: Final = """
() => Math.min(...performance.getEntriesByType('resource')
  .filter(({ name }) => name.includes('/frames/')).map(({ responseEnd }) => responseEnd))
"""
_FRAMES: Final = """
() => { window.frames_ms = []; let before = performance.now();
  const look = (now) => {
    window.frames_ms.push(now - before);
    before = now;
    window.looking = requestAnimationFrame(look);
  };
  requestAnimationFrame(look); }
"""


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        planted = plant_site(Path(folder))
        _enlarge(planted.site.settings.results / planted.key)
        with planted.site.serving() as web, open_browser() as browser:
            rows = [*_measure_server(web, planted.key, folder), *_measure_page(browser, web, planted.key)]
        planted.site.database.dispose()
    print("\n".join(rows))  # noqa: T201


def _enlarge(folder: Path) -> None:
    """Give a result a grid of 100 × 100 tiles and 250 genes, with random values."""
    import anndata
    import pandas as pd

    path, facts = folder / "expression.h5ad", folder / "summary.json"
    table = anndata.read_h5ad(path)
    random = np.random.default_rng(0)
    rows, columns = (part.ravel() for part in np.meshgrid(np.arange(_SIDE), np.arange(_SIDE), indexing="ij"))
    names = [*table.var_names, *(f"G{number}" for number in range(_N_GENES - table.n_vars))]
    values = random.gamma(2, 1, (len(rows), _N_GENES)).astype(np.float32)
    about = table.uns["vst_dicom"]
    about["tile_size_px"] = np.array([32, 32])
    obs = pd.DataFrame({"row": rows, "column": columns, "distance": random.random(len(rows))})
    obs.index = obs.index.astype(str)
    large = anndata.AnnData(
        X=values, obs=obs, var=pd.DataFrame(index=names), uns=table.uns, layers={"interval_half_width": values / 4}
    )
    large.write_h5ad(path, compression="gzip")
    summary = json.loads(facts.read_text())
    (known,) = (gene for gene in summary["genes"] if gene["symbol"] == "SPOT")
    summary["genes"] += [{**known, "symbol": name} for name in names[table.n_vars :]]
    facts.write_text(json.dumps(summary))


def _measure_server(web: Web, key: str, folder: str) -> Iterator[str]:
    """Ask for what was not asked before."""
    for name in ("view", "layers/cells", "layers/gene:SPOT", "layers/gene:RANDOM", "layers/distance"):
        began = perf_counter()
        answer = web.get(f"/api/v1/results/{key}/{name}")
        took_ms = 1000 * (perf_counter() - began)
        yield f"- first request of `{name}`: {took_ms:.0f} ms, {len(answer.content) / 1000:.0f} kB"
    path = Path(folder) / "site" / "results" / key / "expression.h5ad"
    cold = []
    for number in range(_ROUNDS):
        began = perf_counter()
        _ = TileValues(path)[("gene:SPOT", "half-width:SPOT")[number % 2]]
        cold.append(1000 * (perf_counter() - began))
    yield _row("open the values and read one gene, nothing remembered", cold, "ms")


def _measure_page(browser: "Browser", web: Web, key: str) -> Iterator[str]:
    """Measure what a person waits for."""
    received, first, sizes, heaps = [], [], [], []
    for _ in range(_ROUNDS):
        with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
            page = context.new_page()
            page.goto(f"{web.url}/#/slide/{key}?first=gene:SPOT", wait_until="commit")
            page.wait_for_function("() => window.slidePage")
            first.append(page.evaluate(_FIRST_VIEW))
            received.append(page.evaluate(_FIRST_FRAME))
            sizes.append(
                page.evaluate("performance.getEntriesByType('resource').reduce((n, one) => n + one.transferSize, 0)")
                / 1e6
            )
            heaps.append(page.evaluate("performance.memory.usedJSHeapSize") / 1e6)
            if len(first) == _ROUNDS:
                rows = list(_measure_open(page))
    yield _row("from the address to the first frame of the slide, nothing cached", received, "ms")
    yield _row("to the whole view, all frames and the map drawn", first, "ms")
    yield _row("sent for it", sizes, "MB")
    yield _row("JavaScript heap then", heaps, "MB")
    yield from rows


def _measure_open(page: "Page") -> Iterator[str]:
    names = page.evaluate("slidePage.maps.grid.nTiles && [...slidePage.maps.byName.keys()]")
    others = [name for name in names if name != "gene:SPOT"]
    yield _row("gene switch, first", [page.evaluate(_SWITCH, name) for name in others[:2]], "ms")
    yield _row("gene switch, loaded before", [page.evaluate(_SWITCH, others[n % 2]) for n in range(2 * _ROUNDS)], "ms")
    yield from _measure_pan(page)


def _measure_pan(page: "Page", seconds: float = 3.0) -> Iterator[str]:
    """Drag in a circle, and trace frames and the work of the page's own scripts."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    before = _metrics(session)
    page.evaluate(_FRAMES)
    page.mouse.move(500, 450)
    page.mouse.down()
    began = perf_counter()
    while (passed := perf_counter() - began) < seconds:
        page.mouse.move(500 + 180 * np.sin(3 * passed), 450 + 120 * (1 - np.cos(3 * passed)))
    page.mouse.up()
    frames: list[float] = page.evaluate(
        "() => { cancelAnimationFrame(window.looking); return window.frames_ms.slice(2); }"
    )
    after = _metrics(session)
    yield _row("frame of a drag of 3 s", frames, "ms")
    yield f"- frames per second in it: {1000 * len(frames) / sum(frames):.0f}"
    for name, title in (
        ("ScriptDuration", "scripts"),
        ("LayoutDuration", "layout"),
        ("TaskDuration", "all of its main thread"),
    ):
        yield f"- {title} per frame: {1000 * (after[name] - before[name]) / len(frames):.1f} ms"


def _metrics(session: Any) -> dict[str, float]:
    return {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}


def _row(what: str, values: Sequence[float], unit: str) -> str:
    return (
        f"- {what}: {statistics.median(values):.3g} {unit} ({min(values):.3g} to {max(values):.3g}, n = {len(values)})"
    )


if __name__ == "__main__":
    main()
