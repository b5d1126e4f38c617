import gzip
from pathlib import Path

import numpy as np
import pytest

from vst_dicom.domain.errors import InputError, MissingInputError
from vst_dicom.training.cohort import Section, hash_inputs, read_cohort, stated_spacing_um
from vst_dicom.training.panel import read_panel
from vst_dicom.training.spots import read_spots

HEAD = """
name = "n"
doi = "d"
license = "l"
source = "s"
organ = "breast"
specimen = "fresh frozen"
library = "ST"
spot_um = 100.0
"""
SECTION = """
[[section]]
id = "{id}"
patient = "{patient}"
image = "{id}.jpg"
pixel_spacing_um = 0.688
counts = "{id}.tsv.gz"
spots = "{id}_spots.tsv"
"""


def write_section(folder: Path, name: str, counts: str, spots: str) -> Section:
    (folder / f"{name}.tsv.gz").write_bytes(gzip.compress(counts.encode()))
    (folder / f"{name}_spots.tsv").write_text(spots, encoding="utf-8")
    (folder / f"{name}.jpg").write_bytes(b"pixels")
    return Section(id=name, patient="P", image=f"{name}.jpg", counts=f"{name}.tsv.gz", spots=f"{name}_spots.tsv")


COUNTS = "\tERBB2\tIGKC\tOTHER\n10x21\t1\t0\t3\n10x22\t0\t2\t2\n99x99\t5\t5\t5\n"
SPOTS = "x\ty\tpixel_x\tpixel_y\n10\t22\t5.5\t6.5\n10\t21\t1.5\t2.5\n11\t11\t9\t9\n"


def test_places_and_counts_join_on_the_array_position_and_the_rest_is_dropped(tmp_path: Path) -> None:
    spots = read_spots(write_section(tmp_path, "S", COUNTS, SPOTS), tmp_path, ["IGKC", "ERBB2"])

    assert spots.keys == ("10x22", "10x21")
    assert spots.centers_px.tolist() == [[5.5, 6.5], [1.5, 2.5]]
    assert spots.total_counts.tolist() == [4, 4]
    assert spots.dropped == 2


def test_expression_is_the_logarithm_of_one_plus_counts_per_ten_thousand(tmp_path: Path) -> None:
    spots = read_spots(write_section(tmp_path, "S", COUNTS, SPOTS), tmp_path, ["ERBB2", "IGKC"])

    np.testing.assert_allclose(spots.expression, [[0, np.log(5001)], [np.log(2501), 0]], rtol=1e-6)


def test_a_gene_that_was_never_counted_is_zero_and_named(tmp_path: Path) -> None:
    spots = read_spots(write_section(tmp_path, "S", COUNTS, SPOTS), tmp_path, ["ESR1", "ERBB2"])

    assert spots.expression[:, 0].tolist() == [0, 0]
    assert spots.absent == ("ESR1",)


def test_marker_genes_are_read_beside_the_panel(tmp_path: Path) -> None:
    spots = read_spots(write_section(tmp_path, "S", COUNTS, SPOTS), tmp_path, ["IGKC"], ["ESR1", "ERBB2"])

    np.testing.assert_allclose(spots.markers, [[0, 0], [0, np.log(2501)]], rtol=1e-6)
    assert spots.absent == ()


def test_a_spot_without_any_count_is_dropped(tmp_path: Path) -> None:
    counts = "\tERBB2\n10x21\t0\n10x22\t3\n"

    assert read_spots(write_section(tmp_path, "S", counts, SPOTS), tmp_path, ["ERBB2"]).keys == ("10x22",)


@pytest.mark.parametrize(
    ("counts", "spots", "message"),
    [
        ("\tERBB2\n10x21\t-1\n", SPOTS, "line 2: there are numbers that are not counts"),
        ("\tERBB2\n10x21\t1.5\n", SPOTS, "give raw counts, not normalized ones"),
        ("\tERBB2\n10x21\tnan\n", SPOTS, "line 2: a count is not finite"),
        ("\tERBB2\n10x21\t1\n10x21\t2\n", SPOTS, "line 3: the spot 10x21 occurs twice"),
        (COUNTS, SPOTS + "10\t22\t7\t8\n", "line 5: the spot 10x22 occurs twice"),
        ("\tERBB2\n10x21\tmany\n", SPOTS, "line 2: expected 1 counts"),
        ("\tERBB2\n10x21\t1\t2\n", SPOTS, "line 2: expected 1 counts"),
        ("\tERBB2\tERBB2\n10x21\t1\t2\n", SPOTS, "each once"),
        ("", SPOTS, "each once"),
        (COUNTS, "x\ty\tpixel_x\n10\t21\t1\n", "line 2: needs numbers in the columns"),
        (COUNTS, "x\ty\tpixel_x\tpixel_y\n10\t21\t1\tleft\n", "line 2: needs numbers in the columns"),
        (COUNTS, "x\ty\tpixel_x\tpixel_y\n1\t1\t1\t1\n", "no spot has both"),
    ],
)
def test_files_of_another_form_are_refused_with_the_line(tmp_path: Path, counts: str, spots: str, message: str) -> None:
    section = write_section(tmp_path, "S", counts, spots)

    with pytest.raises(InputError, match=message):
        read_spots(section, tmp_path, ["ERBB2"])


def test_counts_that_are_not_packed_as_they_claim_are_refused(tmp_path: Path) -> None:
    section = write_section(tmp_path, "S", COUNTS, SPOTS)
    (tmp_path / "S.tsv.gz").write_bytes(b"not packed")

    with pytest.raises(InputError, match="cannot be read"):
        read_spots(section, tmp_path, ["ERBB2"])


def test_missing_data_says_to_give_the_folder(tmp_path: Path) -> None:
    section = write_section(tmp_path, "S", COUNTS, SPOTS)

    with pytest.raises(MissingInputError, match="--data"):
        read_spots(section, tmp_path / "elsewhere", ["ERBB2"])


def cohort_file(folder: Path, text: str) -> Path:
    path = folder / "cohort.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_cohort_knows_its_patients(tmp_path: Path) -> None:
    sections = [SECTION.format(id=i, patient=p) for i, p in (("S1", "B"), ("S2", "C"), ("S3", "C"))]
    cohort = read_cohort(cohort_file(tmp_path, HEAD + 'fit_patients = ["C"]\n' + "".join(sections)))

    assert cohort.patients == ("B", "C")
    assert cohort.fitted_patients == ("C",)
    assert cohort.section[0].pixel_spacing_um == 0.688


TWO = SECTION.format(id="S1", patient="B") + SECTION.format(id="S2", patient="C")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("this is no TOML", "is not a TOML file"),
        (HEAD + "color = 1\n" + TWO, "color: Extra inputs"),
        (HEAD.replace("doi", "d0i") + TWO, "doi: Field required"),
        (HEAD + TWO.replace("S2", "S1"), "an id occurs twice"),
        (HEAD + 'fit_patients = ["Z"]\n' + TWO, "Z has no section"),
        (HEAD + TWO.replace("0.688", "-1"), "pixel_spacing_um"),
        (HEAD + SECTION.format(id="S1", patient="B"), "at least 2"),
        (HEAD + TWO.replace('counts = "S1.tsv.gz"', 'h5ad = "S1.h5ad"'), "give either h5ad, or both counts and spots"),
        (HEAD + TWO.replace('counts = "S1.tsv.gz"', ""), "give either h5ad, or both counts and spots"),
    ],
)
def test_a_wrong_cohort_file_is_refused_with_the_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_cohort(cohort_file(tmp_path, text))


def test_a_missing_cohort_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"cohort\.toml"):
        read_cohort(tmp_path / "cohort.toml")


def test_the_hash_of_the_inputs_changes_with_any_file(tmp_path: Path) -> None:
    for name in ("S1", "S2"):
        write_section(tmp_path, name, COUNTS, SPOTS)
    cohort = read_cohort(cohort_file(tmp_path, HEAD + TWO))
    before = hash_inputs(cohort, tmp_path)

    (tmp_path / "S2_spots.tsv").write_text(SPOTS + " ", encoding="utf-8")

    assert hash_inputs(cohort, tmp_path) != before


def hest_section(folder: Path, metadata: str, spacing_um: float | None = None) -> Section:
    (folder / "meta.json").write_text(metadata, encoding="utf-8")
    return Section(
        id="S", patient="P", image="S.tif", counts="c", spots="s", metadata="meta.json", pixel_spacing_um=spacing_um
    )


def test_the_pixel_size_of_hest_is_used_unless_the_cohort_gives_one(tmp_path: Path) -> None:
    metadata = '{"pixel_size_um_embedded": 1, "pixel_size_um_estimated": 0.4543}'

    assert stated_spacing_um(hest_section(tmp_path, metadata), tmp_path) == 0.4543
    assert stated_spacing_um(hest_section(tmp_path, metadata, 0.5), tmp_path) == 0.5
    assert stated_spacing_um(hest_section(tmp_path, '{"organ": "Breast"}'), tmp_path) is None


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ('{"pixel_size_um_estimated": "unknown"}', "give pixel_spacing_um in the cohort file"),
        ('{"pixel_size_um_estimated": -1}', "give pixel_spacing_um in the cohort file"),
        ("no JSON", "is not a JSON file"),
        ("[1]", "must hold names and values"),
    ],
)
def test_metadata_of_another_form_are_refused(tmp_path: Path, metadata: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        stated_spacing_um(hest_section(tmp_path, metadata), tmp_path)


def test_the_built_in_panel_has_250_genes_and_known_identifiers() -> None:
    genes = {gene.symbol: gene.hgnc_id for gene in read_panel()}

    assert len(genes) == 250
    assert genes["ERBB2"] == "HGNC:3430"
    assert [symbol for symbol, hgnc in genes.items() if hgnc is None] == ["AP000769.1", "SELM"]


@pytest.mark.parametrize(
    ("text", "message"), [("ERBB2\nERBB2\n", "twice"), ("", "empty"), ("not a gene\n", "not a gene")]
)
def test_a_wrong_panel_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "panel.txt"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(InputError, match=message):
        read_panel(path)


def test_a_panel_may_be_a_plain_list_of_symbols(tmp_path: Path) -> None:
    path = tmp_path / "panel.txt"
    path.write_text("ERBB2\nIGKC\n", encoding="utf-8")

    assert [gene.symbol for gene in read_panel(path)] == ["ERBB2", "IGKC"]
