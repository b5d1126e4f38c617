"""A server that has a slide with a result in which all is known: values, intervals, masked tissue, a hidden gene."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.pipeline.brightness import BrightnessPredictor
from tests.results import make_gene
from tests.service.served import Site
from tests.viewers.planted import NOW, RECIPE, planted_values
from vst_dicom.config import Settings
from vst_dicom.domain.expression import ExpressionTable, Gene, GeneStatus, PanelGene
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.tiles import TileBatch, TileGrid
from vst_dicom.jobs.attempt import JobRunner
from vst_dicom.jobs.results import ResultStore
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.jobs import list_jobs
from vst_dicom.predict.predictor import Prediction
from vst_dicom.runtime.processing import SlideProcessor
from vst_dicom.simulate.writing import write_simulated_slide

HALF_WIDTH: Final = 0.75
HIDDEN_REASON: Final = "median r over held-out patients is 0.08, below 0.30"
_FORMS: Final = ("pm", "geojson", "h5ad")
MASKED_COLUMN: Final = 14
"""All tissue of this column of the grid is unlike the training tissue."""


class PlantedPredictor(BrightnessPredictor):
    """RANDOM is high in some tiles and low in others, SPOT is high in one place, SECRET is hidden."""

    def __init__(self) -> None:
        super().__init__()
        spot = PanelGene(
            Gene("SPOT"), GeneStatus.SUPPORTED, "8 patients support it", 0.52, (0.41, 0.6), "patient", 8, 0.4
        )
        secret = PanelGene(Gene("SECRET"), GeneStatus.HIDDEN, HIDDEN_REASON, 0.08, (-0.1, 0.2), "patient", 8)
        self.genes = (make_gene("RANDOM", r=0.35), spot, secret)
        self.bundle.genes = self.genes
        self.bundle.manifest.distribution = SimpleNamespace(refuse_share=0.9)
        self.bundle.manifest.uncertainty = SimpleNamespace(describe=lambda: "Intervals of a test.")

    def predict(self, batches: Iterable[TileBatch], grid: TileGrid, progress: Callable[[int, int], None]) -> Prediction:
        for batch in batches:
            progress(len(batch.indices), len(grid))
        values = np.concatenate([planted_values(grid), np.ones((len(grid), 1), np.float32)], axis=1)
        is_masked = grid.cells[:, 1] == MASKED_COLUMN
        return Prediction(
            ExpressionTable(self.genes, values),
            distance=np.where(is_masked, 2, 0.5).astype(np.float32),
            half_width=np.full(values.shape, HALF_WIDTH, dtype=np.float32),
        )


@dataclass(frozen=True, eq=False)
class PlantedSite:
    """The server's folders, and what its one result says.

    Parameters
    ----------
    site
        To be served.
    key
        Of the result.
    grid
        Its tiles.
    masked_cells
        Row and column of tissue without values, shape ``(n, 2)``.
    values
        RANDOM and SPOT, shape ``(n_tiles, 2)``.
    """

    site: Site
    key: str
    grid: TileGrid
    masked_cells: NDArray[np.int32]
    values: NDArray[np.float32]


def plant_site(folder: Path) -> PlantedSite:
    """Simulate a slide, receive it, and run its job through the real main path."""
    slide = write_simulated_slide(RECIPE, folder / "slide", now=NOW)
    settings = Settings(data_dir=folder / "site", web={"port": 0}, encode={"forms": _FORMS})  # type: ignore[arg-type]
    settings.data_dir.mkdir(parents=True)
    site = Site(settings, open_database(settings.database))
    site.receive(slide.instances)
    with site.database.begin() as connection:
        (job,) = list_jobs(connection)
    processor = SlideProcessor(site.database, site.settings, lambda _: PlantedPredictor())  # type: ignore[arg-type,return-value]
    store = ResultStore(site.settings.results)
    JobRunner(site.database, store, processor.process, processor.close, 3, Event()).run(job.key, job.round)
    return read_planted(site, job.key)


def read_planted(site: Site, key: str) -> PlantedSite:
    """Read from a result's AnnData file what its page must show."""
    import anndata

    table = anndata.read_h5ad(site.settings.results / key / "expression.h5ad")
    about = table.uns["vst_dicom"]
    cells = table.obs[["row", "column"]].to_numpy(np.int32)
    masked = np.asarray(about["masked_cells"], np.int32).reshape(-1, 2)
    return PlantedSite(site, key, _grid(cells, masked, about["tile_size_px"]), masked, np.asarray(table.X))


def _grid(cells: NDArray[np.int32], masked: NDArray[np.int32], tile_size: NDArray[np.int64]) -> TileGrid:
    tile = MatrixSize(*map(int, tile_size))
    return TileGrid(tile, RECIPE.size.divided_by(tile), cells)
