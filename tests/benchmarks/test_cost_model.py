"""Seconds per slide from the figures of the stages."""

import pytest

from benchmarks.cost_model import BLOCK, N_TILES, NEEDED, PAGE, estimate, model_lines
from benchmarks.flops import gigaflop_per_tile
from benchmarks.tables import begin_of, end_of
from vst_dicom.predict.presets import PRESETS

FIGURES = {
    "feed_ms_per_tile": 2.0,
    "after_ms_per_tile": 1.0,
    "after_s": 10.0,
    "lite0_ms_per_tile": 10.0,
    "transformer_gflops": 50.0,
}


def test_on_the_same_cores_network_and_feed_add_up() -> None:
    found = estimate(100, 20, 5, same_cores=True)

    assert (found.seconds, found.bound) == (125, "network")


def test_beside_a_gpu_the_slower_of_network_and_feed_counts() -> None:
    found = estimate(10, 20, 5, same_cores=False)

    assert (found.seconds, found.bound) == (25, "feed")


def test_what_comes_after_the_tiles_may_take_most() -> None:
    assert estimate(10, 20, 50, same_cores=False).bound == "after the tiles"


def test_operations_are_those_that_were_published() -> None:
    assert gigaflop_per_tile("uni") == pytest.approx(123, rel=0.01)  # ViT-L/16, 224 px
    assert gigaflop_per_tile("h-optimus-0") == pytest.approx(608, rel=0.01)  # ViT-g/14, 224 px
    assert gigaflop_per_tile("efficientnet_lite0") == pytest.approx(0.77, rel=0.05)


def test_the_table_has_a_row_for_each_preset() -> None:
    lines = list(model_lines(FIGURES))

    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2 : 2 + len(PRESETS)]] == list(PRESETS)
    lite0_s = N_TILES * (10 + 2 / 2 + 1) / 1000 + 10
    assert f"| {lite0_s:.0f} (network) |" in lines[2]


@pytest.mark.parametrize("name", NEEDED)
def test_a_figure_that_is_missing_is_named(name: str) -> None:
    (line,) = model_lines({key: value for key, value in FIGURES.items() if key != name})

    assert line.startswith("not measured")
    assert name in line


def test_the_page_has_a_place_for_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert begin_of(BLOCK) in text
    assert end_of(BLOCK) in text
