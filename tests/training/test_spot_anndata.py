"""AnnData gives the same spots as tables, and is refused where it holds something else than counts and places."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from vst_dicom.domain.errors import InputError, MissingInputError
from vst_dicom.training.cohort import Section, hash_inputs, read_cohort, stated_spacing_um
from vst_dicom.training.spots import MeasuredSpots, read_spots

COUNTS = np.array([[1, 0, 3], [0, 2, 2], [5, 5, 5], [0, 0, 0]])
SYMBOLS = ["ERBB2", "IGKC", "OTHER"]
PLACES = np.array([[1.5, 2.5], [5.5, 6.5], [9.0, 8.0], [7.0, 7.0]])
PANEL, MARKERS = ["IGKC", "ESR1"], ["ERBB2"]


def table(counts: object = COUNTS, **changes: object) -> anndata.AnnData:
    parts: dict[str, object] = {
        "obs": pd.DataFrame(index=["10x21", "10x22", "11x23", "12x24"]),
        "var": pd.DataFrame(index=SYMBOLS),
        "obsm": {"spatial": PLACES},
        **changes,
    }
    return anndata.AnnData(X=counts if counts is None or sparse.issparse(counts) else np.asarray(counts), **parts)


def read(folder: Path, content: anndata.AnnData) -> MeasuredSpots:
    content.write_h5ad(folder / "S.h5ad")
    return read_spots(Section(id="S", patient="P", image="S.tif", h5ad="S.h5ad"), folder, PANEL, MARKERS)


@pytest.mark.parametrize(
    "counts", [COUNTS, COUNTS.astype(np.float32), sparse.csr_matrix(COUNTS), sparse.csc_matrix(COUNTS.astype(float))]
)
def test_anndata_gives_the_same_spots_as_tables(tmp_path: Path, counts: object) -> None:
    rows = [f"{key}\t" + "\t".join(map(str, row)) for key, row in zip(table().obs_names, COUNTS, strict=True)]
    (tmp_path / "c.tsv").write_text("\n".join(["\t" + "\t".join(SYMBOLS), *rows]), encoding="utf-8")
    places = [
        f"{key.split('x')[0]}\t{key.split('x')[1]}\t{x}\t{y}"
        for key, (x, y) in zip(table().obs_names, PLACES, strict=True)
    ]
    (tmp_path / "s.tsv").write_text("\n".join(["x\ty\tpixel_x\tpixel_y", *places]), encoding="utf-8")
    tables = read_spots(
        Section(id="S", patient="P", image="i", counts="c.tsv", spots="s.tsv"), tmp_path, PANEL, MARKERS
    )

    spots = read(tmp_path, table(counts))

    assert spots.keys == tables.keys == ("10x21", "10x22", "11x23")
    assert spots.absent == tables.absent == ("ESR1",)
    assert spots.dropped == tables.dropped == 1
    for name in ("centers_px", "expression", "markers", "total_counts"):
        np.testing.assert_array_equal(getattr(spots, name), getattr(tables, name))


def test_spots_outside_the_tissue_are_left_out(tmp_path: Path) -> None:
    obs = pd.DataFrame({"in_tissue": [1, 0, 1, 1]}, index=["a", "b", "c", "d"])

    spots = read(tmp_path, table(obs=obs))

    assert spots.keys == ("a", "c")
    assert spots.dropped == 2


@pytest.mark.parametrize("values", [[True, False, True, True], ["1", "0", "1", "1"], [1.0, 0.0, 1.0, 1.0]])
def test_in_tissue_may_be_said_in_several_ways(tmp_path: Path, values: list[object]) -> None:
    obs = pd.DataFrame({"in_tissue": values}, index=["a", "b", "c", "d"])

    assert read(tmp_path, table(obs=obs)).keys == ("a", "c")


def test_symbols_beside_ensembl_identifiers_are_found(tmp_path: Path) -> None:
    var = pd.DataFrame({"gene_name": SYMBOLS}, index=["ENSG00000141736", "ENSG00000211592.8", "ENSG00000000001"])

    spots = read(tmp_path, table(var=var))

    np.testing.assert_allclose(spots.expression[:, 0], np.log1p([0, 5000, 10000 / 3]), rtol=1e-6)


def test_counts_of_a_symbol_that_occurs_twice_are_added(tmp_path: Path) -> None:
    spots = read(tmp_path, table(sparse.csr_matrix(COUNTS), var=pd.DataFrame(index=["IGKC", "IGKC", "OTHER"])))

    np.testing.assert_allclose(spots.expression[:, 0], np.log1p([2500, 5000, 20000 / 3]), rtol=1e-6)


NAMES = ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (table(np.log1p(COUNTS)), "give raw counts, not normalized ones"),
        (table(sparse.csr_matrix(np.log1p(COUNTS))), "give raw counts, not normalized ones"),
        (table(COUNTS - 1), "negative or broken"),
        (table(np.where(COUNTS == 2, np.nan, COUNTS)), "a missing count must be 0"),
        (table(np.zeros_like(COUNTS)), "no spot in tissue has any count"),
        (table(None), "put raw counts into X"),
        (table(obsm={}), "put x, y of the spots there"),
        (table(obsm={"spatial": PLACES[:, :1]}), "must have two columns"),
        (table(obsm={"spatial": np.where(PLACES > 8, np.nan, PLACES)}), "leave such spots out"),
        (table(obsm={"spatial": PLACES[[0, 0, 1, 2]]}), "a place can have one spot"),
        (table(obs=pd.DataFrame(index=["a", "b", "a", "c"])), "the spot a occurs twice"),
        (table(obs=pd.DataFrame({"in_tissue": ["yes"] * 4}, index=NAMES)), "it must hold 1 or 0"),
        (table(var=pd.DataFrame(index=[f"ENSG0000000000{i}" for i in range(3)])), "put the gene symbols into a column"),
    ],
)
@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_other_forms_are_refused_with_what_to_do(tmp_path: Path, content: anndata.AnnData, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, content)


def test_a_file_that_is_no_anndata_is_refused(tmp_path: Path) -> None:
    (tmp_path / "S.h5ad").write_bytes(b"\x80\x04 a pickle, or anything else")
    section = Section(id="S", patient="P", image="S.tif", h5ad="S.h5ad")

    with pytest.raises(InputError, match="cannot be read as AnnData"):
        read_spots(section, tmp_path, PANEL)
    with pytest.raises(MissingInputError, match="--data"):
        read_spots(section, tmp_path / "elsewhere", PANEL)


def test_the_pixel_size_in_uns_is_used(tmp_path: Path) -> None:
    section = Section(id="S", patient="P", image="S.tif", h5ad="S.h5ad")
    table(uns={"pixel_size_um_estimated": 0.25}).write_h5ad(tmp_path / "S.h5ad")
    assert stated_spacing_um(section, tmp_path) == 0.25

    table().write_h5ad(tmp_path / "S.h5ad")
    assert stated_spacing_um(section, tmp_path) is None


def test_a_cohort_may_mix_tables_and_anndata(tmp_path: Path) -> None:
    table().write_h5ad(tmp_path / "b.h5ad")
    for name in ("a.png", "b.png", "a.tsv", "a_spots.tsv"):
        (tmp_path / name).write_bytes(b"content")
    text = """
name = "n"
doi = "d"
license = "l"
source = "s"
organ = "breast"
specimen = "fresh frozen"
library = "Visium"
spot_um = 55.0
[[section]]
id = "A"
patient = "1"
image = "a.png"
counts = "a.tsv"
spots = "a_spots.tsv"
[[section]]
id = "B"
patient = "2"
image = "b.png"
h5ad = "b.h5ad"
"""
    (tmp_path / "cohort.toml").write_text(text, encoding="utf-8")
    cohort = read_cohort(tmp_path / "cohort.toml")
    before = hash_inputs(cohort, tmp_path)

    table(COUNTS + 1).write_h5ad(tmp_path / "b.h5ad")

    assert hash_inputs(cohort, tmp_path) != before
