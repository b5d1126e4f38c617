"""What independent validators say about every form in every way of writing it.

Every finding must stand in the table of accepted ones, and every entry of the table must occur.
"""

import subprocess
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_validator.validator.dicom_info import DicomInfo

from tests.encode.conftest import MakeResult, MakeSource
from tests.encode.standard_tables import findings_of, read_tables
from tests.programs import (
    needs,
    needs_dcentvfy,
    needs_dciodvfy,
    needs_dcmdump,
    needs_shared_data,
    shared_data,
)
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.forms import Encoding, MapCompression, MapLayer, MapPixels, ResultForm
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing, SlidePlane
from vst_dicom.domain.pixels import Thumbnail
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode.checks import check_result
from vst_dicom.encode.forms import result_objects, write_objects
from vst_dicom.encode.validation import accepted_findings, ask_dciodvfy, validate_objects
from vst_dicom.encode.writing import write_dicom

JAVA_LIMITS = [f"-Djdk.xml.xpath{limit}Limit=0" for limit in ("ExprOp", "TotalOp", "ExprGrp")]
"""Java 17 refuses pixelmed's style sheets otherwise."""

ENCODINGS = {
    "usual": Encoding(),
    "every layer": Encoding(map_layers=frozenset(MapLayer)),
    "no layer, nothing on clear glass": Encoding(map_layers=frozenset(), fractional_segments=False),
    "a series per gene": Encoding(map_series_per_gene=True),
    "floating point": Encoding(map_pixels=MapPixels.FLOAT32),
    "JPEG-LS": Encoding(map_compression=MapCompression.JPEG_LS),
    "label map": Encoding(label_map=True),
    "color overlay": Encoding(color_overlay_gene="ERBB2"),
    "small objects": Encoding(largest_object_bytes=6000),
    "one colored gene": Encoding(colored_genes=("ESR1",)),
}


@dataclass(frozen=True)
class Written:
    """Objects that were written together."""

    slide: Path
    objects: list[Path]


def run(*command: str) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return done.returncode, done.stdout + done.stderr


def write(folder: Path, source: SourceSlide, result: SlideResult, encoding: Encoding) -> list[Path]:
    picture = Thumbnail(np.full((505, 721, 3), 200, np.uint8), (1.0, 1.0), source.plane.spacing)
    objects = result_objects(source, result, frozenset(ResultForm), encoding, picture)
    write_objects(objects, folder)
    check_result(source, result, objects, folder)
    return [folder / written.file_name for written in objects]


def findings(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith(("Error", "Warning"))]


def unlisted(program: str, sop_class_uid: str, lines: list[str]) -> list[str]:
    return [
        line for line in lines if not any(known.covers(program, sop_class_uid, line) for known in accepted_findings())
    ]


def never_found(program: str, found: dict[str, set[str]]) -> list[str]:
    """Entries of the table that no line is covered by; lines by SOP Class UID."""
    return [
        known.message.pattern
        for known in accepted_findings()
        if known.program == program
        and not any(known.covers(program, uid, line) for uid, lines in found.items() for line in lines)
    ]


@pytest.fixture(scope="module")
def written(
    tmp_path_factory: pytest.TempPathFactory, make_source: MakeSource, make_result: MakeResult
) -> dict[str, Written]:
    """Every form in every way, of a result that has all a result can have; and of poorer ones."""
    source = make_source(MatrixSize(505, 721))
    results = {name: (make_result(everything=True), encoding) for name, encoding in ENCODINGS.items()}
    results["poor result"] = (make_result(), Encoding())
    results["no hotspots"] = (make_result(with_hotspots=False), Encoding())
    slide = tmp_path_factory.mktemp("slide") / "slide.dcm"
    header = replace(source).header
    header.add_new(0x7FE00010, "OB", bytes(505 * 721 * 3))
    write_dicom(header, slide)
    del header.PixelData
    return {
        name: Written(slide, write(tmp_path_factory.mktemp("objects"), source, result, encoding))
        for name, (result, encoding) in results.items()
    }


@pytest.fixture(scope="module")
def iods(written: dict[str, Written]) -> dict[str, dict[Path, list[str]]]:
    """What dciodvfy says of every object of every way."""
    return {name: {path: ask_dciodvfy(path) or [] for path in all_.objects} for name, all_ in written.items()}


def class_of(path: Path) -> str:
    return str(pydicom.dcmread(path, specific_tags=["SOPClassUID"]).SOPClassUID)


def test_every_setting_of_dicom_objects_is_among_those_that_are_validated():
    elsewhere = {"geojson_genes", "validate"}

    tried = {
        field.name
        for field in fields(Encoding)
        if any(getattr(encoding, field.name) != getattr(Encoding(), field.name) for encoding in ENCODINGS.values())
    }

    assert tried == {field.name for field in fields(Encoding)} - elsewhere


@needs_dciodvfy
def test_the_slide_of_these_tests_is_itself_valid(written):
    assert [line for line in ask_dciodvfy(written["usual"].slide) if line.startswith("Error")] == []


@needs_dciodvfy
@pytest.mark.parametrize("name", [*ENCODINGS, "poor result", "no hotspots"])
def test_dciodvfy_finds_only_what_the_table_accepts(iods, name):
    left = {
        path.name: lines for path, found in iods[name].items() if (lines := unlisted("dciodvfy", class_of(path), found))
    }

    assert left == {}


@needs_dciodvfy
def test_the_table_accepts_nothing_that_dciodvfy_never_says(iods):
    found: dict[str, set[str]] = {}
    for files in iods.values():
        for path, lines in files.items():
            found.setdefault(class_of(path), set()).update(lines)

    assert never_found("dciodvfy", found) == []


@needs_dcentvfy
def test_dcentvfy_finds_only_what_the_table_accepts(written):
    found = {
        line
        for all_ in written.values()
        for line in findings(run("dcentvfy", str(all_.slide), *map(str, all_.objects))[1])
    }

    assert unlisted("dcentvfy", "", sorted(found)) == []
    assert never_found("dcentvfy", {"": found}) == []


@needs_dcmdump
def test_dcmdump_reads_every_object(written):
    for all_ in written.values():
        for path in all_.objects:
            status, output = run("dcmdump", "-q", str(path))
            assert status == 0, output
            assert "E: " not in output


@pytest.fixture(scope="module")
def tables() -> DicomInfo:
    return read_tables()


@pytest.fixture(scope="module")
def by_the_tables(written: dict[str, Written], tables: DicomInfo) -> dict[str, dict[str, set[str]]]:
    """What pydicom's validator says, by way of writing and SOP Class UID."""
    found: dict[str, dict[str, set[str]]] = {}
    for name, all_ in written.items():
        found[name] = {}
        for path in all_.objects:
            dataset = pydicom.dcmread(path)
            found[name].setdefault(str(dataset.SOPClassUID), set()).update(findings_of(dataset, tables))
    return found


@pytest.mark.parametrize("name", [*ENCODINGS, "poor result", "no hotspots"])
def test_the_standards_tables_find_only_what_the_table_accepts(by_the_tables, name):
    left = {
        uid: lines
        for uid, found in by_the_tables[name].items()
        if (lines := unlisted("dicom-validator", uid, sorted(found)))
    }

    assert left == {}


def test_the_table_accepts_nothing_that_the_standards_tables_do_not_find(by_the_tables):
    found: dict[str, set[str]] = {}
    for by_class in by_the_tables.values():
        for uid, lines in by_class.items():
            found.setdefault(uid, set()).update(lines)

    assert never_found("dicom-validator", found) == []


def test_the_standards_tables_would_find_what_is_missing_or_too_much(written, tables):
    (path,) = [path for path in written["usual"].objects if path.name == "segmentation.dcm"]
    dataset = pydicom.dcmread(path)
    del dataset.SegmentSequence[0].SegmentLabel
    dataset.EchoTime = 5

    found = findings_of(dataset, tables)

    assert any(line.startswith("SegmentSequence/SegmentLabel: TagMissing") for line in found)
    assert any(line.startswith("EchoTime: TagUnexpected") for line in found)


def pixelmed(validator: str, path: Path) -> str:
    command = ["java", *JAVA_LIMITS, "-cp", "/usr/share/java/pixelmed.jar", f"com.pixelmed.validate.{validator}"]
    return run(*command, str(path))[1]


@needs("java", "pixelmed-apps")
@pytest.mark.parametrize(
    ("validator", "file_name", "judged_as"),
    [
        ("DicomSRValidator", "report.dcm", "Found Root Template TID_1500"),
        ("DicomInstanceValidator", "segmentation.dcm", "Found Segmentation IOD"),
    ],
)
def test_pixelmed_finds_only_what_the_table_accepts(written, validator, file_name, judged_as):
    (path,) = [path for path in written["usual"].objects if path.name == file_name]

    output = pixelmed(validator, path)

    assert judged_as in output
    assert "IOD validation complete" in output
    found = set(findings(output))
    assert unlisted(validator, class_of(path), sorted(found)) == []
    assert never_found(validator, {class_of(path): found}) == []


@needs_dciodvfy
def test_results_of_a_slide_that_says_little_are_valid(tmp_path, silent_source, make_result):
    objects = result_objects(silent_source, make_result(), frozenset(ResultForm), Encoding())
    write_objects(objects, tmp_path)

    validate_objects(silent_source, objects, tmp_path)


REAL = shared_data() / "dicom"


@needs_dciodvfy
@needs_shared_data
@pytest.mark.parametrize(
    "name",
    [
        "jcupitt_cmu1_small_region/level-0-frames-0-30.dcm",
        "highdicom/sm_image.dcm",
        "google_medical_imaging/multiframe_camelyon_jpeg2000.dcm",
        "google_wsi2dcm/jpeg.dcm",
    ],
)
def test_results_for_real_slides_of_several_makers_are_valid(tmp_path, make_result, name):
    header = pydicom.dcmread(REAL / name, stop_before_pixels=True)
    measures = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    plane = SlidePlane(
        (0.0, 0.0, 0.0),
        tuple(float(value) for value in header.ImageOrientationSlide),
        PixelSpacing(*(float(value) for value in measures.PixelSpacing)),
    )
    size = MatrixSize(header.TotalPixelMatrixRows, header.TotalPixelMatrixColumns)
    source = SourceSlide((header,), size, plane, "0" * 64)
    objects = result_objects(source, make_result(everything=True), frozenset(ResultForm), Encoding())
    write_objects(objects, tmp_path)

    validate_objects(source, objects, tmp_path)
