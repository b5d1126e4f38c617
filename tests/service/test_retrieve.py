"""WADO-RS against a running server: what is stored is what is sent."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicomweb_client import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import generate_uid

from tests.service.conftest import BASE, ICC_PROFILE, LABEL, LEVEL, OVERVIEW, SERIES, STUDY
from tests.service.served import Site, Web, parts_of

INSTANCE = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances"
JPEG_FRAMES = 'multipart/related; type="image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.50'
NATIVE_FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1'
AS_STORED = "multipart/related; type=application/octet-stream; transfer-syntax=*"


@pytest.fixture
def client(web: Web) -> DICOMwebClient:
    return DICOMwebClient(f"{web.url}/dicom-web")


@pytest.fixture(scope="module")
def results(site: Site) -> dict[str, Path]:
    """Files of the result by modality."""
    (folder,) = (path for path in site.settings.results.iterdir() if (path / "annotations.dcm").exists())
    files = {"OT": "parametric-map.dcm", "SEG": "segmentation.dcm", "ANN": "annotations.dcm", "SR": "report.dcm"}
    return {modality: folder / name for modality, name in files.items()}


def address(path: Path) -> str:
    header = dcmread(path, stop_before_pixels=True)
    return (
        f"/dicom-web/studies/{header.StudyInstanceUID}/series/{header.SeriesInstanceUID}"
        f"/instances/{header.SOPInstanceUID}"
    )


def stored_frames(path: Path) -> list[bytes]:
    dataset = dcmread(path)
    return list(generate_frames(dataset.PixelData, number_of_frames=dataset.NumberOfFrames))


def fetch(web: Web) -> Any:
    """Make a handler that fetches bulk data for pydicom."""

    def read(tag: str, vr: str, url: str) -> bytes:
        response = web.session.get(url, headers={"Accept": "application/octet-stream"}, timeout=30)
        assert response.status_code == 200, (tag, vr, url)
        return response.content

    return read


def test_encapsulated_frames_are_the_stored_bytes(web: Web, slide: dict[str, Path]) -> None:
    response = web.get(f"{INSTANCE}/{BASE}/frames/1,9,4", JPEG_FRAMES)

    stored = stored_frames(slide[BASE])
    kind = "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"
    assert response.headers["Content-Type"].startswith('multipart/related; type="image/jpeg"; boundary=')
    assert parts_of(response) == [(kind, stored[0]), (kind, stored[8]), (kind, stored[3])]


def test_dicomweb_client_retrieves_frames(client: DICOMwebClient, slide: dict[str, Path]) -> None:
    stored = stored_frames(slide[BASE])
    kind = (("image/jpeg", "1.2.840.10008.1.2.4.50"),)

    assert client.retrieve_instance_frames(STUDY, SERIES, BASE, [2, 7], kind) == [stored[1], stored[6]]


def test_a_client_that_takes_any_transfer_syntax_gets_what_is_stored(web: Web, slide: dict[str, Path]) -> None:
    ((kind, frame),) = parts_of(web.get(f"{INSTANCE}/{BASE}/frames/2", AS_STORED))

    assert kind == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.50"
    assert frame == stored_frames(slide[BASE])[1]


def test_one_frame_needs_no_parts(web: Web, slide: dict[str, Path]) -> None:
    response = web.get(f"{INSTANCE}/{BASE}/frames/3", "image/jpeg")

    assert response.headers["Content-Type"] == "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"
    assert response.content == stored_frames(slide[BASE])[2]
    assert web.get(f"{INSTANCE}/{BASE}/frames/3,4", "image/jpeg").status_code == 406


def test_native_frames_are_the_pixels(web: Web, slide: dict[str, Path]) -> None:
    parts = parts_of(web.get(f"{INSTANCE}/{LEVEL}/frames/1,2,3,4", NATIVE_FRAMES))

    pixels = dcmread(slide[LEVEL]).pixel_array
    assert [content for _, content in parts] == [frame.tobytes() for frame in pixels]


@pytest.mark.parametrize("accept", ["image/png", "image/jls", NATIVE_FRAMES, "multipart/related; type=text/plain"])
def test_frames_are_not_converted(web: Web, accept: str) -> None:
    response = web.get(f"{INSTANCE}/{BASE}/frames/1", accept)

    assert response.status_code == 406
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "image/jpeg" in response.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{INSTANCE}/{BASE}/frames/10", 404),
        (f"{INSTANCE}/{BASE}/frames/0", 404),
        (f"{INSTANCE}/{BASE}/frames/one", 400),
        (f"{INSTANCE}/{BASE}/frames/1,,2", 400),
        (f"{INSTANCE}/{BASE}/frames/{','.join(['1'] * 1001)}", 400),
        (f"{INSTANCE}/1.2.3/frames/1", 404),
        (f"{INSTANCE}/..%2f..%2fetc/frames/1", 404),
        (f"{INSTANCE}/{'1' * 65}/frames/1", 400),
        (f"/dicom-web/studies/1.2/series/{SERIES}/instances/{BASE}", 404),
        ("/dicom-web/studies/1.2/metadata", 404),
        (f"{INSTANCE}/{BASE}/bulkdata/00100010", 404),
        (f"{INSTANCE}/{BASE}/bulkdata/00480105/2/00282000", 404),
        (f"{INSTANCE}/{BASE}/bulkdata/00480105", 404),
        (f"{INSTANCE}/{BASE}/bulkdata/%2e%2e/metadata", 400),
        (f"{INSTANCE}/{BASE}/bulkdata/nothing", 400),
        ("/dicom-web/nothing", 404),
    ],
)
def test_what_is_not_there_is_a_problem(web: Web, path: str, status: int) -> None:
    response = web.get(path)

    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == status


def test_frames_are_kept_by_browsers_and_not_sent_twice(web: Web) -> None:
    first = web.get(f"{INSTANCE}/{BASE}/frames/5", JPEG_FRAMES)
    again = web.get(f"{INSTANCE}/{BASE}/frames/5", JPEG_FRAMES, headers={"If-None-Match": first.headers["ETag"]})
    other = web.get(f"{INSTANCE}/{BASE}/frames/5", "image/jpeg", headers={"If-None-Match": first.headers["ETag"]})

    assert first.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert (again.status_code, again.content) == (304, b"")
    assert other.status_code == 200


def test_metadata_give_back_the_header(client: DICOMwebClient, web: Web, slide: dict[str, Path]) -> None:
    found = client.retrieve_instance_metadata(STUDY, SERIES, BASE)
    assert found.pop("7FE00010")["vr"] == "OB"
    dataset = Dataset.from_json(found, fetch(web))

    stored = dcmread(slide[BASE], stop_before_pixels=True)
    assert dataset.PatientName == "Müller^Änne"
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    del dataset.SpecificCharacterSet, stored.SpecificCharacterSet
    assert dataset == stored


@pytest.mark.parametrize("modality", ["OT", "SEG", "ANN", "SR"])
def test_metadata_of_results_give_back_their_headers(web: Web, results: dict[str, Path], modality: str) -> None:
    (found,) = web.get(f"{address(results[modality])}/metadata", "application/dicom+json").json()
    dataset = Dataset.from_json(found, fetch(web))

    stored = dcmread(results[modality], stop_before_pixels=True)
    for one in (dataset, stored):
        for keyword in ("PixelData", "FloatPixelData", "SpecificCharacterSet"):
            if keyword in one:
                del one[keyword]
    assert dataset == stored


def test_metadata_of_a_study_are_those_of_all_its_instances(client: DICOMwebClient) -> None:
    found = [one["00080018"]["Value"] for one in client.retrieve_study_metadata(STUDY)]

    assert found == [one["00080018"]["Value"] for one in client.search_for_instances(STUDY)]
    assert len(found) > 2
    assert len(client.retrieve_series_metadata(STUDY, SERIES)) == 2


def test_large_values_are_bulk_data_and_small_ones_are_not(client: DICOMwebClient) -> None:
    found = client.retrieve_instance_metadata(STUDY, SERIES, BASE)
    path = found["00480105"]["Value"][0]["00282000"]

    assert set(path) == {"vr", "BulkDataURI"}
    assert client.retrieve_bulkdata(path["BulkDataURI"]) == [ICC_PROFILE]
    assert found["7FE00010"]["vr"] == "OB"


def test_encapsulated_pixel_data_are_bulk_data_in_parts(client: DICOMwebClient, slide: dict[str, Path]) -> None:
    found = client.retrieve_instance_metadata(STUDY, SERIES, BASE)

    frames = client.retrieve_bulkdata(
        found["7FE00010"]["BulkDataURI"], media_types=(("image/jpeg", "1.2.840.10008.1.2.4.50"),)
    )
    assert frames == stored_frames(slide[BASE])


def test_coordinates_of_annotations_are_bulk_data(client: DICOMwebClient, web: Web, results: dict[str, Path]) -> None:
    (found,) = web.get(f"{address(results['ANN'])}/metadata", "application/dicom+json").json()
    stored = dcmread(results["ANN"])

    groups = found["006A0002"]["Value"]
    assert len(groups) == len(stored.AnnotationGroupSequence) > 1
    for group, truth in zip(groups, stored.AnnotationGroupSequence, strict=True):
        arrays = {key: value for key, value in group.items() if value["vr"] in ("OF", "OD", "OL")}
        assert {"00660016", "00660022"} & arrays.keys()
        for key, value in arrays.items():
            assert client.retrieve_bulkdata(value["BulkDataURI"]) == [truth[int(key, 16)].value]


def test_instances_are_the_files(client: DICOMwebClient, web: Web, slide: dict[str, Path]) -> None:
    whole = web.get(f"{INSTANCE}/{BASE}", "application/dicom")
    ((kind, part),) = parts_of(web.get(f"{INSTANCE}/{BASE}", 'multipart/related; type="application/dicom"'))

    assert whole.content == part == slide[BASE].read_bytes()
    assert int(whole.headers["Content-Length"]) == len(part)
    assert kind == "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50"
    assert client.retrieve_instance(STUDY, SERIES, LEVEL) == dcmread(slide[LEVEL])
    assert len(client.retrieve_series(STUDY, SERIES)) == 2
    assert (
        web.get(
            f"{INSTANCE}/{BASE}", 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1'
        ).status_code
        == 406
    )


def test_a_study_is_slide_and_results_together(web: Web) -> None:
    parts = parts_of(
        web.get(f"/dicom-web/studies/{STUDY}", 'multipart/related; type="application/dicom"; transfer-syntax=*')
    )

    modalities = {dcmread(BytesIO(content), stop_before_pixels=True).Modality for _, content in parts}
    assert {"SM", "OT", "SEG", "ANN", "SR"} <= modalities


@pytest.mark.parametrize("uid", [LABEL, OVERVIEW])
def test_label_and_overview_are_never_served(client: DICOMwebClient, web: Web, uid: str) -> None:
    for rest in ("", "/metadata", "/frames/1", "/bulkdata/7FE00010"):
        assert web.get(f"{INSTANCE}/{uid}{rest}").status_code == 404
    found = [*client.search_for_instances(), *client.retrieve_study_metadata(STUDY)]
    assert uid not in {one["00080018"]["Value"][0] for one in found}


@pytest.mark.parametrize(("n_rows", "n_columns"), [(1, 1), (3, 5), (7, 9), (8, 8), (5, 46), (2, 3)])
def test_one_bit_frames_of_any_size_begin_with_a_byte(
    others: Site, others_web: Web, n_rows: int, n_columns: int
) -> None:
    frames = np.random.default_rng(n_rows).integers(0, 2, (5, n_rows, n_columns)).astype(np.uint8)
    dataset = image(frames, BitsAllocated=1, BitsStored=1, HighBit=0)
    packed = np.packbits(frames.ravel(), bitorder="little").tobytes()
    dataset.PixelData = packed + b"\0" * (len(packed) % 2)
    dataset["PixelData"].VR = "OB"
    others.add_object(dataset)

    parts = parts_of(others_web.get(f"{of(dataset)}/frames/1,2,3,4,5", NATIVE_FRAMES))

    for (_, content), truth in zip(parts, frames, strict=True):
        bits = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
        assert (bits[: truth.size].reshape(truth.shape) == truth).all()
        assert len(content) == -(-truth.size // 8)
        assert not bits[truth.size :].any()


@pytest.mark.parametrize(
    ("keyword", "kind", "vr"), [("FloatPixelData", "<f4", "OF"), ("DoubleFloatPixelData", "<f8", "OD")]
)
def test_float_frames_are_the_numbers(others: Site, others_web: Web, keyword: str, kind: str, vr: str) -> None:
    frames = np.arange(2 * 3 * 5, dtype=kind).reshape(2, 3, 5) / 7
    dataset = image(frames)
    setattr(dataset, keyword, frames.tobytes())
    others.add_object(dataset)

    parts = parts_of(others_web.get(f"{of(dataset)}/frames/2,1", AS_STORED))
    (found,) = others_web.get(f"{of(dataset)}/metadata", "application/dicom+json").json()

    assert [content for _, content in parts] == [frames[1].tobytes(), frames[0].tobytes()]
    (pixels,) = (value for value in found.values() if value["vr"] == vr)
    assert others_web.session.get(pixels["BulkDataURI"], headers={"Accept": "*/*"}).content.count(frames.tobytes()) == 1


def test_implicit_little_endian_is_served_like_explicit(others: Site, others_web: Web) -> None:
    frames = np.arange(2 * 3 * 5, dtype="<u2").reshape(2, 3, 5)
    dataset = image(frames, BitsAllocated=16, BitsStored=16, HighBit=15, SmallestImagePixelValue=7)
    dataset.PixelData = frames.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.ICCProfile = ICC_PROFILE
    others.add_object(dataset, "1.2.840.10008.1.2")

    (found,) = others_web.get(f"{of(dataset)}/metadata", "application/dicom+json").json()

    assert found["00280106"] == {"vr": "US", "Value": [7]}
    assert parts_of(others_web.get(f"{of(dataset)}/frames/2", NATIVE_FRAMES))[0][1] == frames[1].tobytes()
    assert fetch(others_web)("", "", found["00282000"]["BulkDataURI"]) == ICC_PROFILE


def test_a_broken_file_hides_no_other(tmp_path: Path, slide: dict[str, Path]) -> None:
    site = Site.make(tmp_path)
    site.receive([slide[BASE], slide[LEVEL]])
    (spooled,) = (
        path for path in site.settings.spool.glob("??/*.dcm") if path.read_bytes() == slide[BASE].read_bytes()
    )
    with site.serving() as web:
        spooled.write_bytes(spooled.read_bytes()[:-5000])
        assert web.get(f"{INSTANCE}/{BASE}/frames/1", JPEG_FRAMES).status_code == 409
        spooled.write_bytes(b"nonsense")
        assert [study["0020000D"]["Value"] for study in web.json("/studies")] == [[STUDY]]
        assert [one["00080018"]["Value"] for one in web.json("/instances")] == [[BASE], [LEVEL]]
        assert [one["00080018"]["Value"] for one in web.json(f"/studies/{STUDY}/metadata")] == [[LEVEL]]


def image(frames: np.ndarray, **values: object) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.66.4", generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = STUDY, generate_uid(), "SEG"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def of(dataset: Dataset) -> str:
    return (
        f"/dicom-web/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
        f"/instances/{dataset.SOPInstanceUID}"
    )
