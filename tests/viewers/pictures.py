"""Pictures of the viewers for the documents: ``python -m tests.viewers.pictures docs/images``, or ``make pictures``."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from PIL import Image

from tests.viewers.peers import run_viewer, serve_by_orthanc
from tests.viewers.planted import PlantedResult, make_result
from tests.viewers.screen import Screen, open_browser, open_screen
from tests.viewers.test_dicom_microscopy_viewer import switch_on
from tests.viewers.test_ohif import OHIF, open_microscopy, open_series
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.simulate.writing import SlideRecipe

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_RECIPE: Final = SlideRecipe(MatrixSize(4000, 5200), PixelSpacing.from_um(0.5), seed=7)
_QUALITY: Final = 70


def main(folder: Path) -> None:
    """Predict a simulated slide by the built-in bundle and photograph it in the viewers."""
    from vst_dicom.predict.bundle import DEFAULT_BUNDLE, load_bundle
    from vst_dicom.predict.predictor import Predictor

    predictor = Predictor(load_bundle(DEFAULT_BUNDLE), device="cpu", batch_size=16)
    shown = [gene for gene in predictor.bundle.genes if gene.shown]
    gene = max(shown, key=lambda panel_gene: panel_gene.held_out_r).gene.symbol
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as temporary:
        result = make_result(Path(temporary) / "made", _RECIPE, predictor, gene)
        sys.stdout.write(f"{gene}: {len(result.outcome.result.hotspots)} hotspots of all genes\n")
        with serve_by_orthanc(Path(temporary) / "orthanc", result) as url, open_browser() as browser:
            _photograph_microscopy_viewer(browser, url, result, gene, folder)
            _photograph_ohif(browser, url, result, gene, folder)


def _photograph_microscopy_viewer(
    browser: "Browser", dicomweb_url: str, result: PlantedResult, gene: str, folder: Path
) -> None:
    study = result.outcome.summary["slide"]["study_instance_uid"]
    with (
        run_viewer("dicom-microscopy-viewer", dicomweb_url) as url,
        open_screen(browser, "window.slide") as screen,
    ):
        screen.open(f"{url}/?study={study}")
        screen.page.get_by_text("Ready").wait_for(timeout=60_000)
        with _shown(screen, "OT", gene):
            _keep(screen, folder / "dicom-microscopy-viewer-map.jpg")
        with _shown(screen, "SEG", f"Predicted {gene} expression"):
            _keep(screen, folder / "dicom-microscopy-viewer-fractional.jpg")


@contextmanager
def _shown(screen: Screen, modality: str, label: str) -> Iterator[None]:
    switch_on(screen, modality, label)
    yield
    for box in screen.page.locator("#layers input:checked").all():
        box.uncheck()


def _photograph_ohif(browser: "Browser", dicomweb_url: str, result: PlantedResult, gene: str, folder: Path) -> None:
    study = result.outcome.summary["slide"]["study_instance_uid"]
    with run_viewer("ohif", dicomweb_url) as url, open_screen(browser, OHIF) as screen:
        open_microscopy(screen, url, study)
        open_series(screen, "Tiles by predicted expression")
        _keep(screen, folder / "ohif-annotations.jpg")
        if result.outcome.result.hotspots:
            open_series(screen, "Predicted gene expression report")
            _keep(screen, folder / "ohif-report.jpg")
        open_series(screen, f"Predicted {gene} as colors")
        _keep(screen, folder / "ohif-colored-slide.jpg")


def _keep(screen: Screen, file: Path) -> None:
    screen.look()
    Image.open(BytesIO(screen.page.screenshot())).convert("RGB").save(file, quality=_QUALITY, optimize=True)
    sys.stdout.write(f"{file}: {file.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
