from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.slide.painted import paint
from vst_dicom.domain.errors import DamagedInstanceError, PixelSpacingError, UnsupportedInstanceError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.slide import image as plain
from vst_dicom.slide.vendor import VendorSlide, open_vendor_slide

SPACING = PixelSpacing.from_um(0.688)


def save(path: Path, picture: Image.Image | None = None, **options: object) -> Path:
    (picture or Image.fromarray(paint(700, 900))).save(path, **options)
    return path


def whole(slide: VendorSlide) -> np.ndarray:
    level = slide.levels[0]
    rows = [
        np.concatenate([slide.read_frame(0, row, column) for column in range(level.frame_grid.n_columns)], axis=1)
        for row in range(level.frame_grid.n_rows)
    ]
    return np.concatenate(rows)[: level.size.n_rows, : level.size.n_columns]


@pytest.mark.parametrize(("name", "mean_error"), [("a.png", 0.0), ("a.tif", 0.0), ("a.jpg", 2.0)])
def test_image_becomes_one_level(tmp_path: Path, name: str, mean_error: float) -> None:
    with open_vendor_slide(save(tmp_path / name), pixel_spacing=SPACING) as slide:
        assert [level.size for level in slide.levels] == [MatrixSize(700, 900)]
        assert slide.levels[0].spacing == SPACING
        assert slide.source.spacing_assumed
        assert np.abs(whole(slide).astype(int) - paint(700, 900)).mean() <= mean_error


def test_jpeg_remembers_its_compression_and_png_has_none(tmp_path: Path) -> None:
    with open_vendor_slide(save(tmp_path / "a.jpg"), pixel_spacing=SPACING) as slide:
        assert [step.method for step in slide.plan.earlier_compression] == ["ISO_10918_1"]
    with open_vendor_slide(save(tmp_path / "a.png"), pixel_spacing=SPACING) as slide:
        assert slide.plan.earlier_compression == ()


def test_image_without_spacing_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(PixelSpacingError, match="--pixel-spacing-um"):
        open_vendor_slide(save(tmp_path / "a.jpg", dpi=(25400, 25400)))


def test_tiff_resolution_is_used_and_said(tmp_path: Path) -> None:
    with open_vendor_slide(save(tmp_path / "a.tif", dpi=(50_800, 25_400))) as slide:
        assert slide.levels[0].spacing.column_um == pytest.approx(0.5)
        assert slide.levels[0].spacing.row_um == pytest.approx(1.0)
        assert "TIFF resolution tags" in slide.source.warnings[0]


def test_transparent_pixels_become_glass(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (64, 64), (10, 20, 30, 0))
    with open_vendor_slide(save(tmp_path / "a.png", picture), pixel_spacing=SPACING) as slide:
        assert whole(slide).min() == 255


def test_reduced_frame_is_the_area_mean(tmp_path: Path) -> None:
    with open_vendor_slide(save(tmp_path / "a.png"), pixel_spacing=SPACING) as slide:
        reduced = slide.read_frame(0, 0, 0, reduce=4)

    assert reduced is not None
    expected = paint(700, 900)[:512, :512].reshape(128, 4, 128, 4, 3).mean(axis=(1, 3))
    assert np.abs(reduced - expected).max() <= 1


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_cut_image_is_refused_and_never_grey(tmp_path: Path, name: str, part: float) -> None:
    path = save(tmp_path / name)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(DamagedInstanceError):
        open_vendor_slide(path, pixel_spacing=SPACING)


@pytest.mark.parametrize("mode", ["L", "I;16", "1"])
def test_image_without_color_is_refused(tmp_path: Path, mode: str) -> None:
    with pytest.raises(UnsupportedInstanceError, match="export it as RGB"):
        open_vendor_slide(save(tmp_path / "a.tif", Image.new(mode, (64, 64))), pixel_spacing=SPACING)


def test_cmyk_jpeg_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedInstanceError, match="CMYK"):
        open_vendor_slide(save(tmp_path / "a.jpg", Image.new("CMYK", (64, 64))), pixel_spacing=SPACING)


@pytest.mark.parametrize("limit", [600_000, 100_000])
def test_image_beyond_the_limit_is_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(plain, "MAX_PIXELS", limit)
    with pytest.raises(UnsupportedInstanceError, match="million pixels"):
        open_vendor_slide(save(tmp_path / "a.png"), pixel_spacing=SPACING)


def test_orientation_in_exif_is_not_applied_but_said(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with open_vendor_slide(save(tmp_path / "a.jpg", exif=exif), pixel_spacing=SPACING) as slide:
        assert slide.levels[0].size == MatrixSize(700, 900)
        assert "EXIF orientation" in slide.source.warnings[0]


def test_embedded_color_profile_goes_into_the_header(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    with open_vendor_slide(save(tmp_path / "a.png", icc_profile=profile), pixel_spacing=SPACING) as slide:
        path = slide.source.header.OpticalPathSequence[0]

    assert path.ICCProfile == profile
    assert "ColorSpace" not in path
