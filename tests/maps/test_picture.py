from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.results import BUNDLE, CREATED, full_grid, good_quality, table_of
from vst_dicom.domain.result import SlideResult
from vst_dicom.maps.picture import Backdrop, draw_overview, pick_different


@pytest.mark.parametrize("n_genes", [0, 1, 6, 9])
def test_overview_is_drawn_for_any_number_of_genes(tmp_path: Path, n_genes: int) -> None:
    grid = full_grid(20, 30)
    values = np.random.default_rng(0).uniform(0, 3, (n_genes, 20, 30))
    expression = table_of(values, *(f"G{number}" for number in range(n_genes)))
    result = SlideResult("k", CREATED, grid, good_quality(600), expression, (), BUNDLE, {}, ())
    backdrop = Backdrop(np.full((200, 300, 3), 230, np.uint8), (10.0, 10.0), (0.01, 0.01))

    draw_overview(tmp_path / "overview.png", backdrop, result)

    image = np.asarray(Image.open(tmp_path / "overview.png").convert("RGB"))
    assert image.shape[1] > image.shape[0] > 300
    yellow = (abs(image.astype(int) - (253, 231, 37)).sum(axis=2) < 12).sum()
    assert (yellow > 100) == (n_genes > 0)


def test_maps_that_repeat_one_another_give_way_to_different_ones() -> None:
    values = np.random.default_rng(0).normal(size=(4, 20, 30))
    values[1] = values[0] * 2 + 1
    table = table_of(values, "A", "A_AGAIN", "B", "C")

    assert [gene.gene.symbol for gene in pick_different(table, most=3)] == ["A", "B", "C"]
    assert [gene.gene.symbol for gene in pick_different(table, most=4)] == ["A", "A_AGAIN", "B", "C"]


def test_masked_tissue_is_hatched(tmp_path: Path) -> None:
    grid = full_grid(20, 30)
    expression = table_of(np.random.default_rng(0).uniform(0, 3, (1, 20, 30)), "G")
    backdrop = Backdrop(np.full((200, 300, 3), 230, np.uint8), (10.0, 10.0), (0.01, 0.01))
    result = SlideResult("k", CREATED, grid, good_quality(600), expression, (), BUNDLE, {}, ())
    masked = replace(result, masked_cells=np.argwhere(np.ones((10, 10))).astype(np.int32))

    pictures = []
    for number, one in enumerate((result, masked)):
        draw_overview(tmp_path / f"{number}.png", backdrop, one)
        pictures.append(np.asarray(Image.open(tmp_path / f"{number}.png").convert("L"), dtype=int))

    slide = slice(100, None), slice(0, pictures[0].shape[1] // 2)
    assert (pictures[1][slide] < 100).sum() > (pictures[0][slide] < 100).sum() + 500
