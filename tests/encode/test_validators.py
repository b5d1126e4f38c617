"""What independent programs and libraries say about every object."""

import subprocess

import pydicom
import pytest

from tests.programs import needs_dcentvfy, needs_dciodvfy, needs_dcmdump, needs_shared_data, shared_data
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.forms import Encoding, ResultForm
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing, SlidePlane
from vst_dicom.encode.checks import check_result, validate_with_dciodvfy
from vst_dicom.encode.forms import result_objects, write_objects
from vst_dicom.encode.segmentation import encode_segmentation
from vst_dicom.encode.writing import write_dicom


def run(*command: str) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def slide_file(tmp_path, make_source):
    """Make the slide itself, small, with pixels."""
    source = make_source(MatrixSize(6, 8))
    header = source.header
    header.add_new(0x7FE00010, "OB", bytes(6 * 8 * 3))
    path = tmp_path / "slide.dcm"
    write_dicom(header, path)
    return source, path


@pytest.fixture
def results(tmp_path, make_result):
    def write(source, result=None):
        result = result or make_result()
        objects = result_objects(source, result, frozenset(ResultForm), Encoding())
        write_objects(objects, tmp_path)
        check_result(source, result, objects, tmp_path)
        return [tmp_path / written.file_name for written in objects]

    return write


@needs_dciodvfy
def test_the_slide_of_these_tests_is_itself_valid(slide_file):
    assert validate_with_dciodvfy(slide_file[1]) == []


@needs_dciodvfy
@pytest.mark.parametrize("option", [(), ("-new",)])
def test_dciodvfy_finds_no_error(results, make_source, option):
    for path in results(make_source()):
        _, output = run("dciodvfy", *option, str(path))
        assert [line for line in output.splitlines() if line.startswith("Error")] == []


@needs_dciodvfy
def test_dciodvfy_finds_no_error_where_the_slide_says_little(results, silent_source):
    for path in results(silent_source):
        assert validate_with_dciodvfy(path) == []


@needs_dcentvfy
def test_dcentvfy_finds_one_patient_one_study_and_one_slide(slide_file, results):
    source, path = slide_file

    status, output = run("dcentvfy", str(path), *map(str, results(source)))

    assert status == 0
    assert "Error" not in output


@needs_dcmdump
def test_dcmdump_reads_every_object(results, make_source):
    for path in results(make_source()):
        status, output = run("dcmdump", "-q", str(path))
        assert status == 0, output
        assert "E: " not in output


@needs_dciodvfy
@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_reported_errors_do_not_quote_values(tmp_path, make_source, make_result):
    dataset = encode_segmentation(make_source(), make_result())
    dataset.PatientSex = "Secret"
    path = tmp_path / "wrong.dcm"
    write_dicom(dataset, path)

    errors = validate_with_dciodvfy(path)

    assert errors
    assert "Secret" not in " ".join(errors)


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
def test_results_for_real_slides_of_several_makers_are_valid(results, name):
    header = pydicom.dcmread(REAL / name, stop_before_pixels=True)
    measures = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    plane = SlidePlane(
        (0.0, 0.0, 0.0),
        tuple(float(value) for value in header.ImageOrientationSlide),
        PixelSpacing(*(float(value) for value in measures.PixelSpacing)),
    )
    size = MatrixSize(header.TotalPixelMatrixRows, header.TotalPixelMatrixColumns)

    for path in results(SourceSlide((header,), size, plane, "0" * 64)):
        assert validate_with_dciodvfy(path) == []
