from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.runtime.slides import GLASS, PINK
from tests.service.served import Site, Web
from tests.wsi_builder import JPEG, NATIVE, Wsi, halve, write_wsi

STUDY, SERIES = "1.2.826.0.1.3680043.8.498.7.1", "1.2.826.0.1.3680043.8.498.7.2"
BASE, LEVEL, LABEL, OVERVIEW = (f"{SERIES}.{number}" for number in range(1, 5))
ICC_PROFILE = bytes(range(256)) * 3


def _describe(dataset: Dataset) -> None:
    dataset.PatientName, dataset.PatientID, dataset.SpecificCharacterSet = "Müller^Änne", "P-4711", "ISO_IR 100"
    dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "20260102", "101112", "A-1"
    dataset.StudyDescription, dataset.SeriesNumber = "Breast [left]", 1
    dataset.OpticalPathSequence[0].ICCProfile = ICC_PROFILE


@pytest.fixture(scope="package")
def slide(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A slide of two levels, one of JPEG frames and one not encapsulated, with label and overview; by UID."""
    folder = tmp_path_factory.mktemp("slide")
    image = np.full((768, 760, 3), GLASS, dtype=np.uint8)
    image[96:-96, 96:-96] = PINK
    files = {}
    for uid, pixels, flavor, syntax, spacing in (
        (BASE, image, "VOLUME", JPEG, 0.0005),
        (LEVEL, halve(image), "VOLUME", NATIVE, 0.001),
        (LABEL, image[:100, :100], "LABEL", NATIVE, 0.01),
        (OVERVIEW, image[:100, :200], "OVERVIEW", NATIVE, 0.01),
    ):
        wsi = Wsi(
            [pixels],
            tile=(256, 256),
            transfer_syntax=syntax,
            spacing_mm=(spacing, spacing),
            flavor=flavor,
            study=STUDY,
            series=SERIES,
            uid=uid,
            change=_describe,
        )
        files[uid] = write_wsi(folder / f"{uid}.dcm", wsi)
    return files


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory, slide: dict[str, Path]) -> Iterator[Site]:
    """The slide received, accepted and processed; nobody changes it."""
    made = Site.make(tmp_path_factory.mktemp("site"), cors_origins=["https://viewer.example"])
    made.receive(list(slide.values()))
    made.process()
    yield made
    made.database.dispose()


@pytest.fixture(scope="package")
def web(site: Site) -> Iterator[Web]:
    with site.serving() as served:
        yield served


@pytest.fixture(scope="package")
def others(tmp_path_factory: pytest.TempPathFactory, slide: dict[str, Path]) -> Iterator[Site]:
    """The same slide without a result, to which objects of any kind are added."""
    made = Site.make(tmp_path_factory.mktemp("others"))
    made.receive([slide[LEVEL]])
    yield made
    made.database.dispose()


@pytest.fixture(scope="package")
def others_web(others: Site) -> Iterator[Web]:
    with others.serving() as served:
        yield served
