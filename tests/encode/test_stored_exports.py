import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from tests.encode.stored import store
from tests.encode.test_geojson import check_form, fill
from vst_dicom.cli.main import app
from vst_dicom.domain.errors import MissingInputError, UsageError

GENES = ["ERBB2", "ESR1", "LOC1"]


@pytest.fixture
def result(make_result):
    random = np.random.default_rng(5)
    return fill(make_result(values=random.normal(1, 2, (18, 3))))


@pytest.fixture
def folder(tmp_path, make_source, result):
    return store(tmp_path / "result", make_source(), result, ("LOC1",))


def export(folder, to, out, *options):
    """Run the command; its own errors pass through."""
    done = CliRunner().invoke(app, ["export", str(folder), "--to", to, "--out", str(out), *options])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_csv_states_places_and_values_digit_by_digit(folder, tmp_path, result, make_source):
    done = export(folder, "csv", tmp_path / "tiles.csv")

    table = pd.read_csv(tmp_path / "tiles.csv", comment="#", dtype=dict.fromkeys(GENES, np.float32))
    assert table.columns[:7].tolist() == ["row", "column", "x_mm", "y_mm", *GENES]
    np.testing.assert_array_equal(table[GENES], result.expression.values)
    places = make_source().plane.to_slide_mm(*result.grid.centers_px.T)
    np.testing.assert_allclose(table[["x_mm", "y_mm"]], places[:, :2], rtol=1e-12)
    assert table["ERBB2 +/-"].iloc[5] == pytest.approx(result.half_width[5, 0])
    assert table["tissue_class"].iloc[1] == "stroma"
    assert "18 tiles, 3 genes, predicted with her2st-lite 1.0.0" in done.output


def test_csv_says_first_what_it_is(folder, tmp_path):
    export(folder, "csv", tmp_path / "tiles.csv")

    lines = (tmp_path / "tiles.csv").read_text().splitlines()
    assert lines[0] == "# intended_use: For Research Use Only. Not for use in diagnostic procedures."
    assert "# unit: ln(1+CP10k)" in lines
    assert "# series_instance_uid: 2.25.13" in lines
    assert len([line for line in lines if not line.startswith("#")]) == 1 + 18


def test_parquet_holds_the_values_and_says_what_they_are(folder, tmp_path, result):
    export(folder, "parquet", tmp_path / "tiles.parquet", "--genes", "LOC1,ERBB2")

    table = pyarrow.parquet.read_table(tmp_path / "tiles.parquet")
    assert table.column_names[4:8] == ["LOC1", "ERBB2", "LOC1 +/-", "ERBB2 +/-"]
    assert np.array_equal(table["LOC1"].to_numpy(), result.expression.values[:, 2])
    assert table.schema.metadata[b"intended_use"].startswith(b"For Research Use Only")
    assert json.loads(table.schema.metadata[b"vst_dicom"])["bundle"] == "her2st-lite 1.0.0"


def test_geojson_gets_other_genes_and_keeps_objects_and_all_else(folder, tmp_path, result):
    export(folder, "geojson", tmp_path / "few.geojson", "--genes", "ESR1")

    before = json.loads((folder / "tiles.geojson").read_text())
    after = json.loads((tmp_path / "few.geojson").read_text())
    check_form(after)
    assert [one["id"] for one in after["features"]] == [one["id"] for one in before["features"]]
    assert after["features"][0] == before["features"][0]
    measured = after["features"][4]["properties"]["measurements"]
    assert list(measured) == ["ESR1", "ESR1 +/-", "signature: Made up", "distance to training tissue"]
    assert measured["ESR1"] == pytest.approx(float(result.expression.values[3, 1]), abs=5e-5)


def test_results_without_intervals_or_classes_are_exported_too(tmp_path, make_source, make_result):
    folder = store(tmp_path / "result", make_source(), make_result())

    export(folder, "csv", tmp_path / "tiles.csv")
    export(folder, "geojson", tmp_path / "tiles.geojson")

    columns = pd.read_csv(tmp_path / "tiles.csv", comment="#").columns
    assert not any(column.endswith("+/-") for column in columns)
    assert (tmp_path / "tiles.geojson").stat().st_size > 1000


@pytest.mark.parametrize("to", ["csv", "parquet", "geojson", "spatialdata"])
def test_an_unknown_gene_is_refused_and_nothing_written(folder, tmp_path, to):
    with pytest.raises(UsageError, match="no values of NOSUCH; it has ERBB2, ESR1, LOC1"):
        export(folder, to, tmp_path / "out", "--genes", "ESR1,NOSUCH")

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("lost", "message"),
    [("summary.json", "no result folder"), ("expression.h5ad", "predict again with h5ad among --formats")],
)
def test_a_folder_that_lacks_a_file_is_refused_with_what_to_do(folder, tmp_path, lost, message):
    (folder / lost).unlink()

    with pytest.raises(MissingInputError, match=message):
        export(folder, "csv", tmp_path / "tiles.csv")


def test_damaged_files_are_refused(folder, tmp_path):
    (folder / "expression.h5ad").write_bytes(b"no HDF5")

    with pytest.raises(MissingInputError, match="damaged"):
        export(folder, "csv", tmp_path / "tiles.csv")


def test_geojson_needs_outlines_of_the_same_run(folder, tmp_path, make_source, make_result):
    other = store(tmp_path / "other", make_source(), dataclasses.replace(make_result(), key="x" * 64))
    tiles = json.loads((other / "tiles.geojson").read_text())
    tiles["features"].pop()
    (folder / "tiles.geojson").write_text(json.dumps(tiles))

    with pytest.raises(MissingInputError, match="of different runs"):
        export(folder, "geojson", tmp_path / "out.geojson")

    (folder / "tiles.geojson").unlink()
    with pytest.raises(MissingInputError, match="whose outlines are needed"):
        export(folder, "geojson", tmp_path / "out.geojson")


def test_what_lies_there_stays_unless_replacing_is_asked_for(folder, tmp_path):
    out = tmp_path / "tiles.csv"
    out.write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        export(folder, "csv", out)
    assert out.read_text() == "mine"

    export(folder, "csv", out, "--overwrite")

    assert out.read_text().startswith("# intended_use")
    with pytest.raises(UsageError, match="there is no folder"):
        export(folder, "csv", tmp_path / "nowhere" / "tiles.csv")


@pytest.mark.parametrize(
    ("to", "module", "hint"),
    [("parquet", "pyarrow", r"vst-dicom\[export\]"), ("spatialdata", "spatialdata", r"vst-dicom\[spatialdata\]")],
)
def test_a_missing_library_is_named_with_how_to_install_it(folder, tmp_path, monkeypatch, to, module, hint):
    monkeypatch.setitem(__import__("sys").modules, module, None)

    with pytest.raises(UsageError, match=hint):
        export(folder, to, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_the_folder_itself_is_left_as_it_was(folder, tmp_path):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    copy = shutil.copytree(folder, tmp_path / "copy")

    for to in ("csv", "parquet", "geojson"):
        export(copy, to, tmp_path / f"out.{to}")

    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
