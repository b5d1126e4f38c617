"""A simulated cohort is read as a real one, says its truth, and is the same for the same seed."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from vst_dicom.cli.simulate import app
from vst_dicom.domain.errors import UsageError
from vst_dicom.simulate import cohort as cohort_module
from vst_dicom.simulate.cohort import CohortRecipe, write_cohort
from vst_dicom.simulate.patients import draw_patients
from vst_dicom.simulate.programs import GENES, GeneKind
from vst_dicom.slide.opening import open_slide
from vst_dicom.training.cohort import read_cohort
from vst_dicom.training.panel import read_panel
from vst_dicom.training.scores import pearson
from vst_dicom.training.spots import read_spots

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
RECIPE = CohortRecipe(n_patients=2, n_sections=2, side_mm=0.9, seed=5)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "cohort"
    write_cohort(RECIPE, out, now=NOON)
    return out


def test_it_is_read_as_any_cohort(written: Path) -> None:
    cohort = read_cohort(written / "cohort.toml")
    panel = [gene.symbol for gene in read_panel(written / "panel.txt")]

    assert cohort.patients == ("P1", "P2")
    assert [section.id for section in cohort.section] == ["P1-1", "P1-2", "P2-1", "P2-2"]
    assert [section.site for section in cohort.section] == ["north", "north", "south", "south"]
    for section in cohort.section:
        spots = read_spots(section, written, panel)
        assert len(spots.keys) > 10
        assert spots.dropped == 0
        assert spots.absent == ()


def test_spots_lie_in_the_middle_of_tiles_in_tissue(written: Path) -> None:
    section = read_cohort(written / "cohort.toml").section[0]
    spots = read_spots(section, written, [])

    np.testing.assert_array_equal(spots.centers_px % 224, 111.5)
    with open_slide([written / section.image]) as slide:
        assert slide.levels[0].spacing.row_um == pytest.approx(0.5)
        assert (slide.levels[0].size.n_rows, slide.levels[0].size.n_columns) == (1800, 1800)
        x, y = (spots.centers_px[0] // 256).astype(int)
        frame = slide.read_frame(0, int(y), int(x))
        assert frame is not None
        assert frame.std() > 5


def test_the_truth_names_every_gene_with_what_it_can_reach(written: Path) -> None:
    truth = json.loads((written / "truth.json").read_text(encoding="utf-8"))
    cohort, panel = read_cohort(written / "cohort.toml"), [gene.symbol for gene in GENES]
    by_gene = {gene["symbol"]: gene for gene in truth["genes"]}

    assert list(by_gene) == panel
    assert by_gene["EPCAM"]["weights"] == {"tumor": 90}
    assert [gene["predictable"] for gene in truth["genes"]] == [gene.kind is GeneKind.PROGRAM for gene in GENES]
    of_patient = []
    for section in cohort.section[:2]:
        expected = read_table(written / section.id / "expected.tsv.gz")
        of_patient.append(pearson(np.log1p(expected), read_spots(section, written, panel).expression))
    for index, symbol in enumerate(panel):
        if by_gene[symbol]["kind"] != "flat":
            ceiling = np.mean([values[index] for values in of_patient])
            assert by_gene[symbol]["noise_ceiling"]["P1"] == pytest.approx(ceiling, abs=2e-3)


def read_table(path: Path) -> np.ndarray:
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()[1:]
    return np.array([line.split("\t")[1:] for line in lines], dtype=np.float64)


def test_the_same_seed_gives_the_same_sections_in_a_larger_cohort_too(written: Path, tmp_path: Path) -> None:
    write_cohort(CohortRecipe(n_patients=3, n_sections=1, side_mm=0.9, seed=5), tmp_path / "more", now=NOON)

    for section in ("P1-1", "P2-1"):
        for name in ("counts.tsv.gz", "expected.tsv.gz", "cells.tsv.gz", "spots.tsv"):
            assert (tmp_path / "more" / section / name).read_bytes() == (written / section / name).read_bytes()
        with (
            open_slide([written / section / "slide"]) as first,
            open_slide([tmp_path / "more" / section / "slide"]) as second,
        ):
            np.testing.assert_array_equal(first.read_frame(0, 3, 3), second.read_frame(0, 3, 3))


def test_another_seed_gives_other_patients() -> None:
    first, other = (draw_patients(2, GENES, seed)[0] for seed in (5, 6))

    assert first.preparation != other.preparation
    assert not np.array_equal(first.gene_factors, other.gene_factors)


def test_nothing_is_left_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cohort_module, "_write_section", fail)
    with pytest.raises(KeyboardInterrupt):
        write_cohort(RECIPE, tmp_path / "cohort", now=NOON)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"n_patients": 1}, "at least two sections"),
        ({"n_sections": 0}, "at least two sections"),
        ({"side_mm": 0.1}, "between 0.8 and 20"),
        ({"seed": -1}, "the seed must lie"),
    ],
)
def test_impossible_cohorts_are_refused(numbers: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CohortRecipe(**numbers)  # type: ignore[arg-type]


def test_the_command_writes_a_cohort_and_says_where(tmp_path: Path) -> None:
    out = tmp_path / "cohort"
    answer = CliRunner().invoke(app, ["cohort", str(out), "--patients", "2", "--side-mm", "0.8", "--seed", "3"])

    assert answer.exit_code == 0, answer.output
    assert "2 sections of 2 patients" in answer.stdout
    assert sorted(path.name for path in out.iterdir()) == ["P1-1", "P2-1", "cohort.toml", "panel.txt", "truth.json"]


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine", encoding="utf-8")

    with pytest.raises(UsageError, match="choose another"):
        write_cohort(RECIPE, tmp_path, now=NOON)
