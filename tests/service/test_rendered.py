"""Rendered and thumbnail resources against a running server: what they show, and what is never shown."""

from io import BytesIO
from pathlib import Path

import anyio
import numpy as np
import pytest
import requests
from dicomweb_client import DICOMwebClient
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.runtime.slides import GLASS, PINK
from tests.service.conftest import BASE, ICC_PROFILE, LABEL, LEVEL, OVERVIEW, SERIES, STUDY
from tests.service.served import Site, Web, parts_of
from tests.service.test_retrieve import address, image, of
from tests.wsi_builder import JPEG, NATIVE, Wsi, assign, write_wsi
from vst_dicom.domain.errors import ResourceError
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.encode.colors import from_cielab_value, to_cielab_value
from vst_dicom.service import slide_pictures
from vst_dicom.service.archive import Archive
from vst_dicom.service.render_parameters import Region
from vst_dicom.service.rendering import Renderer
from vst_dicom.service.slide_pictures import SlidePictures

STUDY_URL = f"/dicom-web/studies/{STUDY}"
SERIES_URL = f"{STUDY_URL}/series/{SERIES}"
INSTANCE = f"{SERIES_URL}/instances"


def picture(response: requests.Response, kind: str = "image/jpeg") -> NDArray[np.uint8]:
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == kind
    return decode(response.content)


def decode(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


def test_a_level_is_rendered_whole(web: Web) -> None:
    shown = picture(web.get(f"{INSTANCE}/{BASE}/rendered"))

    assert shown.shape == (768, 760, 3)
    assert np.abs(shown[:90].astype(int) - GLASS).max() <= 3
    assert np.abs(shown[110:-110, 110:-110].astype(int) - PINK).max() <= 3


def test_png_has_the_pixels_as_they_are(web: Web, slide: dict[str, Path]) -> None:
    shown = picture(web.get(f"{INSTANCE}/{LEVEL}/rendered", "image/png"), "image/png")

    assert shown.shape == (384, 380, 3)
    assert (shown[:256, :256] == dcmread(slide[LEVEL]).pixel_array[0]).all()


@pytest.mark.parametrize(
    ("viewport", "shape"),
    [
        ("100,100", (100, 99)),
        ("38,1000", (38, 38)),
        ("50,10,0,0,380,384", (10, 10)),
        ("200,200,90,90,20,20", (200, 200)),
        ("16,16,,,40,20", (8, 16)),
        ("20,20,700,760,100,100", (3, 20)),
    ],
)
def test_the_picture_is_the_largest_that_fits_into_the_viewport(
    web: Web, viewport: str, shape: tuple[int, int]
) -> None:
    assert picture(web.get(f"{INSTANCE}/{BASE}/rendered?viewport={viewport}")).shape[:2] == shape


@pytest.mark.parametrize(
    ("part", "glass"),
    [
        ("38,100,20,20", np.s_[:, :10]),
        ("38,100,-20,20", np.s_[:, 10:]),
        ("100,38,20,20", np.s_[:10]),
        ("100,38,20,-20", np.s_[10:]),
    ],
)
@pytest.mark.parametrize("place", ["frames/1/rendered", "rendered"])
def test_a_part_is_shown_and_a_negative_extent_flips_it(
    web: Web, place: str, part: str, glass: tuple[slice, ...] | slice
) -> None:
    shown = picture(web.get(f"{INSTANCE}/{LEVEL}/{place}?viewport=20,20,{part}", "image/png"), "image/png")

    is_glass = np.zeros((20, 20), dtype=np.bool_)
    is_glass[glass] = True
    assert ((shown == GLASS).all(axis=2) == is_glass).all()
    assert (shown[~is_glass] == PINK).all()


def test_a_small_picture_is_made_from_a_small_level(tmp_path: Path) -> None:
    base = write_wsi(tmp_path / "0.dcm", Wsi([np.full((512, 512, 3), 10, np.uint8)], tile=(64, 64)))
    small = Wsi([np.full((128, 128, 3), 200, np.uint8)], tile=(64, 64), spacing_mm=(0.002, 0.002))
    pictures = SlidePictures(base, [write_wsi(tmp_path / "1.dcm", small)])

    def color(n_pixels: int) -> set[int]:
        region = Region(0, 0, 512, 512)
        return set(np.unique(pictures.paint(region, MatrixSize(n_pixels, n_pixels))))

    assert color(128) == {200}
    assert color(140) == {10}
    assert pictures.paint(Region(100, 30, 40, 20), MatrixSize(10, 20)).shape[1] >= 20


def test_a_part_shows_its_place_on_every_level_and_reduction(tmp_path: Path) -> None:
    y, x = np.mgrid[0:512, 0:512]
    ramp = np.stack([x // 4, y // 4, np.zeros_like(x)], axis=-1).astype(np.uint8) * 2
    base = write_wsi(tmp_path / "0.dcm", Wsi([ramp], tile=(64, 64)))
    pictures = SlidePictures(base)

    for n_pixels in (16, 30, 60, 200):
        found = pictures.paint(Region(200, 100, 256, 256), MatrixSize(n_pixels, n_pixels))
        middle = found[found.shape[0] // 2, found.shape[1] // 2]
        assert np.abs(middle[:2].astype(int) - ((200 + 128) / 2, (100 + 128) / 2)).max() <= 8


def test_frames_are_rendered_alone_or_in_parts(web: Web, slide: dict[str, Path]) -> None:
    one = picture(web.get(f"{INSTANCE}/{LEVEL}/frames/4/rendered", "image/png"), "image/png")
    several = parts_of(web.get(f"{INSTANCE}/{LEVEL}/frames/4,1/rendered", 'multipart/related; type="image/png"'))

    truth = dcmread(slide[LEVEL]).pixel_array
    assert (one == truth[3]).all()
    assert [kind for kind, _ in several] == ["image/png"] * 2
    assert (decode(several[1][1]) == truth[0]).all()
    assert web.get(f"{INSTANCE}/{LEVEL}/frames/1,2/rendered", "image/jpeg").status_code == 406


def test_the_slide_stands_for_its_series_and_study(web: Web) -> None:
    level = web.get(f"{INSTANCE}/{BASE}/rendered?viewport=64,64")
    series = web.get(f"{SERIES_URL}/rendered?viewport=64,64")
    study = parts_of(web.get(f"{STUDY_URL}/rendered?viewport=64,64"))

    assert series.content == level.content
    assert study[0] == ("image/jpeg", level.content)


@pytest.mark.parametrize("url", [STUDY_URL, SERIES_URL, f"{INSTANCE}/{BASE}", f"{INSTANCE}/{LEVEL}/frames/1"])
def test_thumbnails_are_small(web: Web, url: str) -> None:
    assert max(picture(web.get(f"{url}/thumbnail")).shape) == 256
    assert max(picture(web.get(f"{url}/thumbnail?viewport=40,50")).shape) in (40, 41)
    assert picture(web.get(f"{url}/thumbnail", "image/png"), "image/png").shape[2] == 3


def test_small_images_are_not_enlarged_to_thumbnails(others: Site, others_web: Web) -> None:
    dataset = segmentation(np.eye(4, 6, dtype=np.uint8)[None])
    others.add_object(dataset)

    assert picture(others_web.get(f"{of(dataset)}/thumbnail", "image/png"), "image/png").shape == (4, 6, 3)


@pytest.mark.parametrize("uid", [LABEL, OVERVIEW])
@pytest.mark.parametrize("rest", ["rendered", "thumbnail", "frames/1/rendered", "frames/1/thumbnail"])
def test_label_and_overview_are_never_shown(web: Web, uid: str, rest: str) -> None:
    response = web.get(f"{INSTANCE}/{uid}/{rest}")

    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("keyword", "reason"),
    [("SpecimenLabelInImage", "label"), ("BurnedInAnnotation", "(0028,0301)")],
)
def test_an_image_that_says_it_shows_text_is_never_decoded(tmp_path: Path, keyword: str, reason: str) -> None:
    pixels = np.full((64, 64, 3), 100, np.uint8)
    frame = Wsi([pixels], tile=(64, 64), study="1.2.5", series="1.2.6", uid="1.2.7", change=assign(keyword, "YES"))
    path = write_wsi(tmp_path / "slide.dcm", frame)
    site = Site.make(tmp_path / "site")
    site.receive([path])
    series = "/dicom-web/studies/1.2.5/series/1.2.6"
    with site.serving() as web:
        for place in ("/dicom-web/studies/1.2.5", series, f"{series}/instances/1.2.7"):
            for kind in ("rendered", "thumbnail"):
                response = web.get(f"{place}/{kind}")
                assert response.status_code == 404
        for kind in ("rendered", "thumbnail"):
            response = web.get(f"{series}/instances/1.2.7/frames/1/{kind}")
            assert response.status_code == 404
            assert keyword == "SpecimenLabelInImage" or reason in response.json()["detail"]
    site.database.dispose()


def segmentation(frames: NDArray[np.uint8], kind: str = "BINARY", **values: object) -> Dataset:
    """Segment 2, red, in every frame."""
    dataset = image(frames, BitsAllocated=1 if kind == "BINARY" else 8, SegmentationType=kind, **values)
    segment, groups, identification = Dataset(), Dataset(), Dataset()
    segment.SegmentNumber, segment.RecommendedDisplayCIELabValue = 2, to_cielab_value((255, 0, 0))
    identification.ReferencedSegmentNumber = 2
    groups.SegmentIdentificationSequence = [identification]
    dataset.SegmentSequence = [segment]
    dataset.PerFrameFunctionalGroupsSequence = [groups] * len(frames)
    pixels = np.packbits(frames.ravel(), bitorder="little") if kind == "BINARY" else frames
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    dataset["PixelData"].VR = "OB"
    return dataset


def test_segments_are_painted_in_their_color_over_glass(others: Site, others_web: Web) -> None:
    dataset = segmentation(np.array([[[0, 0, 0]] * 3, [[0, 1, 0]] * 3], dtype=np.uint8))
    others.add_object(dataset)

    shown = picture(others_web.get(f"{of(dataset)}/frames/2/rendered?viewport=6,6", "image/png"), "image/png")

    assert np.abs(shown[:, 2:4].astype(int) - (255, 0, 0)).max() <= 1
    assert (shown[:, :2] == 255).all()
    assert (shown[:, 4:] == 255).all()


def test_half_of_a_fraction_is_half_of_its_color(others: Site, others_web: Web) -> None:
    dataset = segmentation(np.array([[[0, 50, 100]]], np.uint8), "FRACTIONAL", MaximumFractionalValue=100)
    others.add_object(dataset)

    shown = picture(others_web.get(f"{of(dataset)}/rendered", "image/png"), "image/png")

    assert np.abs(shown[0].astype(int) - [(255, 255, 255), (255, 128, 128), (255, 0, 0)]).max() <= 1


def test_maps_are_gray_through_their_window_or_another(others: Site, others_web: Web) -> None:
    dataset = image(np.zeros((1, 1, 4)), BitsAllocated=16, SOPClassUID="1.2.840.10008.5.1.4.1.1.30")
    voi, groups = Dataset(), Dataset()
    voi.WindowCenter, voi.WindowWidth = 500.5, 1000
    groups.FrameVOILUTSequence = [voi]
    dataset.SharedFunctionalGroupsSequence = [groups]
    dataset.PixelData = np.array([0, 500, 1000, 60000], "<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    others.add_object(dataset)

    stated = others_web.get(f"{of(dataset)}/frames/1/rendered", "image/png")
    asked = others_web.get(f"{of(dataset)}/frames/1/rendered?window=30000,60000,linear-exact", "image/png")

    assert picture(stated, "image/png")[0, :, 0].tolist() == [0, 128, 255, 255]
    assert picture(asked, "image/png")[0, :, 1].tolist() == [0, 2, 4, 255]
    assert "Research Use Only" in Image.open(BytesIO(stated.content)).text["Comment"]


def test_results_of_a_slide_have_pictures_or_say_why_not(web: Web, site: Site) -> None:
    (folder,) = (path for path in site.settings.results.iterdir() if (path / "annotations.dcm").exists())
    for name in ("parametric-map.dcm", "segmentation.dcm"):
        url = address(folder / name)
        assert picture(web.get(f"{url}/frames/1/rendered")).shape[2] == 3
        assert picture(web.get(f"{url}/thumbnail")).shape[2] == 3
    for name in ("annotations.dcm", "report.dcm"):
        for rest in ("rendered", "thumbnail"):
            response = web.get(f"{address(folder / name)}/{rest}")
            assert response.status_code in (404, 406)
            assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("rest", "accept", "status"),
    [
        (f"{BASE}/rendered", "image/gif", 406),
        (f"{BASE}/rendered?viewport=0,5", "*/*", 400),
        (f"{BASE}/rendered?viewport=2049,5", "*/*", 400),
        (f"{BASE}/rendered?viewport=5", "*/*", 400),
        (f"{BASE}/rendered?viewport=5,5,760,0,1,1", "*/*", 400),
        (f"{BASE}/rendered?quality=0", "*/*", 400),
        (f"{BASE}/rendered?window=1,0,linear", "*/*", 400),
        (f"{BASE}/rendered?iccprofile=maybe", "*/*", 400),
        (f"{BASE}/thumbnail?viewport=5,5,0,0,1,1", "*/*", 400),
        (f"{BASE}/frames/10/rendered", "*/*", 404),
        (f"{BASE}/frames/10/thumbnail", "*/*", 404),
        (f"{BASE}/frames/{','.join(['1'] * 65)}/rendered", "*/*", 400),
        ("1.2.3/rendered", "*/*", 404),
    ],
)
def test_what_cannot_be_rendered_is_a_problem(web: Web, rest: str, accept: str, status: int) -> None:
    response = web.get(f"{INSTANCE}/{rest}", accept)

    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"


def test_too_many_pixels_are_not_read(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slide_pictures, "_MOST_READ_PIXELS", 256 * 256 * 4)

    refused = web.get(f"{INSTANCE}/{BASE}/rendered?viewport=700,700")
    part = web.get(f"{INSTANCE}/{BASE}/rendered?viewport=100,100,0,0,200,200")

    assert refused.status_code == 406
    assert "ask for a part" in refused.json()["detail"]
    assert part.status_code == 200


def test_quality_profile_and_unknown_annotations(web: Web) -> None:
    usual = web.get(f"{INSTANCE}/{BASE}/rendered")
    rough = web.get(f"{INSTANCE}/{BASE}/rendered?quality=5&unknown=1")
    profiled = web.get(f"{INSTANCE}/{BASE}/frames/1/rendered?iccprofile=yes")
    annotated = web.get(f"{INSTANCE}/{BASE}/rendered?annotation=patient,technique")

    assert len(rough.content) < len(usual.content)
    assert Image.open(BytesIO(profiled.content)).info["icc_profile"] == ICC_PROFILE
    assert "icc_profile" not in Image.open(BytesIO(usual.content)).info
    assert annotated.content == usual.content
    assert annotated.headers["Warning"] == (
        '299 vst_dicom "The following annotation values are not supported: patient, technique"'
    )


def test_pictures_are_not_sent_twice(web: Web) -> None:
    frame = web.get(f"{INSTANCE}/{BASE}/frames/1/rendered")
    whole = web.get(f"{INSTANCE}/{BASE}/rendered")
    other = web.get(f"{INSTANCE}/{BASE}/rendered", "image/png")

    assert "immutable" in frame.headers["Cache-Control"]
    assert whole.headers["Cache-Control"] == "private, no-cache"
    assert whole.headers["ETag"] != other.headers["ETag"]
    for first in (frame, whole):
        path = first.url.removeprefix(web.url)
        again = web.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_a_broken_level_does_not_hide_another(tmp_path: Path) -> None:
    base = write_wsi(tmp_path / "0.dcm", Wsi([np.full((64, 64, 3), 9, np.uint8)], tile=(64, 64)))
    (tmp_path / "1.dcm").write_bytes(base.read_bytes()[:2000])

    painted = SlidePictures(base, [tmp_path / "1.dcm", tmp_path / "2.dcm"]).paint(
        Region(0, 0, 64, 64), MatrixSize(8, 8)
    )

    assert set(np.unique(painted)) == {9}


def test_dicomweb_client_retrieves_pictures(web: Web, slide: dict[str, Path]) -> None:
    client = DICOMwebClient(f"{web.url}/dicom-web")
    png, jpeg = ("image/png",), ("image/jpeg",)

    assert decode(client.retrieve_instance_rendered(STUDY, SERIES, LEVEL, png, {"viewport": "40,40"})).shape == (
        40,
        40,
        3,
    )
    assert decode(client.retrieve_series_rendered(STUDY, SERIES, jpeg)).shape == (768, 760, 3)
    frame = client.retrieve_instance_frames_rendered(STUDY, SERIES, LEVEL, [2], png)
    assert (decode(frame) == dcmread(slide[LEVEL]).pixel_array[1]).all()


def test_pictures_wait_for_their_turn_but_not_without_end(site: Site) -> None:
    renderer = Renderer(Archive(site.database, site.settings.spool, site.settings.results))
    refused: list[ResourceError] = []

    async def ask(block: anyio.Event) -> None:
        try:
            await renderer.run(lambda: anyio.from_thread.run(block.wait))
        except ResourceError as error:
            refused.append(error)

    async def crowd() -> None:
        block = anyio.Event()
        async with anyio.create_task_group() as group:
            for _ in range(70):
                group.start_soon(ask, block)
            await anyio.wait_all_tasks_blocked()
            block.set()

    anyio.run(crowd)

    assert len(refused) == 70 - 64 - 2


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (213, 94, 0), (86, 180, 233), (122, 92, 160)])
def test_a_recommended_color_is_read_as_it_was_written(color: tuple[int, int, int]) -> None:
    assert np.abs(np.array(from_cielab_value(to_cielab_value(color))) - color).max() <= 1


def test_a_slide_of_one_level_in_jpeg_is_read_at_a_fraction(tmp_path: Path) -> None:
    wsi = Wsi([np.full((512, 512, 3), PINK, np.uint8)], tile=(256, 256), transfer_syntax=JPEG)
    pictures = SlidePictures(write_wsi(tmp_path / "0.dcm", wsi))

    painted = pictures.paint(Region(0, 0, 512, 512), MatrixSize(64, 64))

    assert painted.shape == (64, 64, 3)
    assert np.abs(painted.astype(int) - PINK).max() <= 3


def test_a_slide_that_states_no_spacing_is_rendered(tmp_path: Path) -> None:
    wsi = Wsi([np.full((64, 64, 3), 9, np.uint8)], tile=(64, 64), spacing_mm=None, transfer_syntax=NATIVE)

    assert SlidePictures(write_wsi(tmp_path / "0.dcm", wsi)).size.n_rows == 64
