import dataclasses

import anndata
import numpy as np
import pytest

from vst_dicom.domain.expression import Gene, GeneStatus
from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.domain.signature import PanelSignature, ScoredGene, Scoring, SignatureScore
from vst_dicom.encode.anndata_export import write_anndata


@pytest.fixture
def path(tmp_path):
    return tmp_path / "expression.h5ad"


def test_an_independent_reader_finds_values_genes_and_tiles(path, make_source, make_result):
    result = make_result()
    write_anndata(path, make_source(), result)

    table = anndata.read_h5ad(path)

    assert table.X.dtype == np.float32
    assert np.array_equal(table.X, result.expression.values)
    assert table.var_names.tolist() == ["ERBB2", "ESR1", "LOC1"]
    assert table.var["hgnc_id"].tolist() == ["HGNC:3430", "HGNC:3467", ""]
    assert table.var["held_out_r"].tolist() == pytest.approx([0.5, 0.4, 0.3])
    assert table.obs_names[1] == "0x2"
    assert table.obsm["spatial"][1].tolist() == [257, 50]


def test_it_says_that_values_are_predicted_in_which_unit_and_for_what(path, make_source, make_result):
    write_anndata(path, make_source(), make_result())

    about = anndata.read_h5ad(path).uns["vst_dicom"]

    assert about["unit"] == "ln(1+CP10k)"
    assert about["quantity"].startswith("predicted")
    assert about["intended_use"].startswith("For Research Use Only")
    assert about["bundle_sha256"] == "ab" * 32


def test_the_thumbnail_fits_the_spatial_coordinates(path, make_source, make_result):
    thumbnail = np.zeros((50, 70, 3), np.uint8)
    write_anndata(path, make_source(), make_result(), thumbnail, PixelSpacing(0.005, 0.004))

    (picture,) = anndata.read_h5ad(path).uns["spatial"].values()

    assert picture["scalefactors"]["tissue_hires_scalef"] == pytest.approx(0.1)
    assert picture["images"]["hires"].shape == (50, 70, 3)


def test_a_thumbnail_without_spacing_is_refused(path, make_source, make_result):
    with pytest.raises(ValueError, match="pixel spacing"):
        write_anndata(path, make_source(), make_result(), np.zeros((5, 7, 3), np.uint8))

    assert not path.exists()


def test_the_same_result_gives_the_same_bytes(tmp_path, make_source, make_result):
    files = [tmp_path / "a.h5ad", tmp_path / "b.h5ad"]
    for file in files:
        write_anndata(file, make_source(), make_result())

    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_result_without_warnings_or_parameters_is_written(path, make_source, make_result):
    write_anndata(path, make_source(), dataclasses.replace(make_result(), warnings=(), parameters={}))

    assert anndata.read_h5ad(path).n_obs == 18


def test_scores_of_shown_signatures_are_columns_of_the_tiles(path, make_source, make_result):
    result = make_result()
    values = np.arange(len(result.grid), dtype=np.float32)
    genes = (ScoredGene(Gene("ERBB2"), 1.0, 0.0, 1.0),)
    shown = PanelSignature("made-up", "Made up", Scoring.MEAN_Z, "x", "", 1, genes, GeneStatus.EXPLORATORY, "it holds")
    hidden = dataclasses.replace(shown, signature_id="other", status=GeneStatus.HIDDEN)
    scores = (SignatureScore(shown, values), SignatureScore(hidden, None))
    write_anndata(path, make_source(), dataclasses.replace(result, signatures=scores))

    table = anndata.read_h5ad(path)

    assert np.array_equal(table.obs["signature_made_up"], values)
    assert [name for name in table.obs if name.startswith("signature_")] == ["signature_made_up"]
    assert table.uns["vst_dicom"]["signatures"]["signature_made_up"]["reason"] == "it holds"
    assert table.uns["vst_dicom"]["signatures"]["signature_made_up"]["genes"].tolist() == ["ERBB2"]


def test_tissue_class_and_gi_star_are_there_where_they_are_known(path, make_source, make_result):
    result = make_result()
    tissue_class = np.zeros(18, np.int8)
    tissue_class[:5] = 3
    gi_star = np.full((18, 3), np.nan, np.float32)
    write_anndata(path, make_source(), dataclasses.replace(result, tissue_class=tissue_class, gi_star=gi_star))

    table = anndata.read_h5ad(path)

    assert table.obs["tissue_class"].value_counts().to_dict()["fat"] == 5
    assert np.isnan(table.layers["gi_star"]).all()
    write_anndata(path, make_source(), result)
    assert "tissue_class" not in anndata.read_h5ad(path).obs


def test_trust_comes_as_a_layer_a_column_and_the_masked_cells(path, make_source, make_result):
    result = make_result()
    half_width = np.full(result.expression.values.shape, 0.5, np.float32)
    distance = np.linspace(0, 1, len(result.grid), dtype=np.float32)
    masked = np.array([[0, 1]], dtype=np.int32)
    trusted = dataclasses.replace(
        result, half_width=half_width, distance=distance, masked_cells=masked, interval_note="nominal"
    )
    write_anndata(path, make_source(), trusted)

    table = anndata.read_h5ad(path)

    assert np.array_equal(table.layers["interval_half_width"], half_width)
    assert np.array_equal(table.obs["distance"], distance)
    assert table.uns["vst_dicom"]["masked_cells"].tolist() == [[0, 1]]
    assert table.uns["vst_dicom"]["interval_note"] == "nominal"


def test_a_result_without_trust_has_no_layer(path, make_source, make_result):
    write_anndata(path, make_source(), make_result())

    table = anndata.read_h5ad(path)

    assert list(table.layers) == []
    assert "distance" not in table.obs
