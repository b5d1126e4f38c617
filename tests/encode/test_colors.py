import pytest

from vst_dicom.encode.colors import to_cielab_value


@pytest.mark.parametrize(
    ("rgb", "cielab"),
    [
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (54.29, 80.81, 69.89)),  # D50
        ((0, 0, 255), (29.57, 68.30, -112.03)),
    ],
)
def test_colors_are_cielab_with_white_d50(rgb, cielab):
    lightness, a, b = to_cielab_value(rgb)

    assert lightness / 65535 * 100 == pytest.approx(cielab[0], abs=0.1)
    assert a / 65535 * 255 - 128 == pytest.approx(cielab[1], abs=0.1)
    assert b / 65535 * 255 - 128 == pytest.approx(cielab[2], abs=0.1)
