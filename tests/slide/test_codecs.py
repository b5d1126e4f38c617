import struct
from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import wsi_builder as build
from vst_dicom.domain.errors import DamagedInstanceError, UnsupportedInstanceError
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.slide.codecs import FrameDecoder, FrameFormat, check_color, check_transfer_syntax, decode_frame

LOSSLESS = [
    build.IMPLICIT,
    build.NATIVE,
    build.RLE,
    build.JPEG_LS,
    build.JPEG_2000,
    build.JPEG_2000_LOSSLESS,
    build.HTJ2K,
    build.JPEG_XL,
]
IMAGE = build.paint(64, 48)


def frame_format(transfer_syntax: str, photometric: str = "RGB", planar: int = 0) -> FrameFormat:
    return FrameFormat(MatrixSize(64, 48), transfer_syntax, photometric, planar)


@pytest.mark.parametrize("transfer_syntax", LOSSLESS)
def test_lossless_encodings_return_every_pixel(transfer_syntax: str) -> None:
    decoded = decode_frame(build.encode(IMAGE, transfer_syntax), frame_format(transfer_syntax))

    np.testing.assert_array_equal(decoded, IMAGE)


@pytest.mark.parametrize("reduce", [2, 4, 8])
@pytest.mark.parametrize("transfer_syntax", [*LOSSLESS, build.JPEG])
def test_reduced_frames_look_like_area_averages(transfer_syntax: str, reduce: int) -> None:
    photometric = "YBR_FULL_422" if transfer_syntax == build.JPEG else "RGB"

    decoded = decode_frame(build.encode(IMAGE, transfer_syntax), frame_format(transfer_syntax, photometric), reduce)

    expected = IMAGE.reshape(64 // reduce, reduce, 48 // reduce, reduce, 3).mean(axis=(1, 3))
    assert decoded.shape == expected.shape
    tolerance = 6 if "1.2.4.9" in transfer_syntax or transfer_syntax == build.HTJ2K else 2
    assert np.abs(decoded - expected).max() <= tolerance * reduce / 2


def test_jpeg_2000_without_resolutions_is_averaged_instead() -> None:
    data = imagecodecs.jpeg2k_encode(IMAGE, level=0, codecformat="j2k", reversible=True, resolutions=1)

    decoded = decode_frame(data, frame_format(build.JPEG_2000), 8)

    np.testing.assert_allclose(decoded, IMAGE.reshape(8, 8, 6, 8, 3).mean(axis=(1, 3)), atol=0.51)


def test_jpeg_without_marker_is_rgb_where_the_instance_says_so() -> None:
    frame = np.full((64, 48, 3), (200, 100, 50), dtype=np.uint8)
    # three channels stored as they are, and no JFIF or Adobe marker
    data = imagecodecs.jpeg8_encode(frame, level=95, colorspace="RGB", outcolorspace="RGB", subsampling="444")
    unmarked = remove_segments(data, {0xE0, 0xEE})
    unmarked = rename_components(unmarked, b"\x01\x02\x03")

    decoded = decode_frame(unmarked, frame_format(build.JPEG, "RGB"))

    assert np.abs(decoded.astype(int) - (200, 100, 50)).max() <= 2


def test_jpeg_with_jfif_marker_is_ycbcr_even_where_the_instance_says_rgb() -> None:
    data = build.encode(IMAGE, build.JPEG)

    decoded = decode_frame(data, frame_format(build.JPEG, "RGB"))

    assert np.abs(decoded.astype(int) - IMAGE).mean() < 1.5


def test_subsampled_jpeg_is_ycbcr_even_without_marker() -> None:
    smooth = np.full((64, 48, 3), (200, 100, 50), dtype=np.uint8)
    data = remove_segments(simplejpeg.encode_jpeg(smooth, quality=95, colorsubsampling="420"), {0xE0, 0xEE})

    decoded = decode_frame(data, frame_format(build.JPEG, "RGB"))

    assert np.abs(decoded.astype(int) - (200, 100, 50)).max() <= 2


def test_native_color_by_plane_is_reordered() -> None:
    data = np.ascontiguousarray(IMAGE.transpose(2, 0, 1)).tobytes()

    np.testing.assert_array_equal(decode_frame(data, frame_format(build.NATIVE, planar=1)), IMAGE)


def test_ybr_full_becomes_rgb() -> None:
    # PS3.3 C.7.6.3.1.2: pure red is Y 76, CB 85, CR 255 in 8 bits
    red = np.full((64, 48, 3), (76, 85, 255), dtype=np.uint8)

    for transfer_syntax in (build.NATIVE, build.RLE, build.JPEG_LS):
        decoded = decode_frame(build.encode(red, transfer_syntax), frame_format(transfer_syntax, "YBR_FULL"))
        assert np.abs(decoded.astype(int) - (255, 0, 0)).max() <= 2, transfer_syntax


def test_ybr_ict_without_component_transform_in_the_codestream_is_converted_here() -> None:
    red = np.full((64, 48, 3), (76, 85, 255), dtype=np.uint8)
    data = imagecodecs.jpeg2k_encode(red, level=0, codecformat="j2k", reversible=True, mct=False)

    decoded = decode_frame(data, frame_format(build.JPEG_2000, "YBR_ICT"))

    assert np.abs(decoded.astype(int) - (255, 0, 0)).max() <= 2


def test_ybr_rct_with_component_transform_is_left_to_the_decoder() -> None:
    data = imagecodecs.jpeg2k_encode(IMAGE, level=0, codecformat="j2k", reversible=True, mct=True)

    np.testing.assert_array_equal(decode_frame(data, frame_format(build.JPEG_2000_LOSSLESS, "YBR_RCT")), IMAGE)


@pytest.mark.parametrize("transfer_syntax", [build.JPEG, build.JPEG_LS, build.JPEG_2000, build.HTJ2K, build.JPEG_XL])
def test_a_codestream_of_another_size_is_refused_before_decoding(
    transfer_syntax: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = build.encode(build.paint(128, 96), transfer_syntax)

    def explode(*_: object, **__: object) -> None:
        raise AssertionError("decoded")

    for name in ("jpegls_decode", "jpeg2k_decode", "jpegxl_decode"):
        monkeypatch.setattr(imagecodecs, name, explode)
    monkeypatch.setattr(simplejpeg, "decode_jpeg", explode)

    with pytest.raises(DamagedInstanceError, match=r"128 x 96 pixels.*64 x 48"):
        decode_frame(data, frame_format(transfer_syntax))


@pytest.mark.parametrize(
    "transfer_syntax",
    [build.NATIVE, build.RLE, build.JPEG, build.JPEG_LS, build.JPEG_2000, build.HTJ2K, build.JPEG_XL],
)
def test_half_a_frame_is_damaged_and_never_half_a_picture(transfer_syntax: str) -> None:
    data = build.encode(IMAGE, transfer_syntax)

    with pytest.raises(DamagedInstanceError):
        decode_frame(data[: len(data) // 2], frame_format(transfer_syntax))


def test_a_jpeg_whose_middle_is_missing_is_damaged() -> None:
    data = build.encode(IMAGE, build.JPEG)

    with pytest.raises(DamagedInstanceError):
        decode_frame(data[: len(data) // 2] + b"\xff\xd9", frame_format(build.JPEG))


@pytest.mark.parametrize(
    "transfer_syntax",
    [build.RLE, build.JPEG, build.JPEG_LS, build.JPEG_2000, build.HTJ2K, build.JPEG_XL],
)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_is_wrong_with_a_frame_it_is_one_of_our_errors(transfer_syntax: str, data: st.DataObject) -> None:
    frame = bytearray(build.encode(IMAGE, transfer_syntax))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, min(len(frame) - 1, 200)))] = data.draw(st.integers(0, 255))

    try:
        decoded = decode_frame(bytes(frame), frame_format(transfer_syntax))
    except (DamagedInstanceError, UnsupportedInstanceError):
        return

    assert decoded.shape == (64, 48, 3)
    assert decoded.dtype == np.uint8


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\xff\x4f\xff\x51\xff\xd9", b"\xff\x0a"])
@pytest.mark.parametrize("transfer_syntax", [build.RLE, build.JPEG, build.JPEG_LS, build.JPEG_2000, build.JPEG_XL])
def test_stubs_of_frames_are_damaged(transfer_syntax: str, data: bytes) -> None:
    with pytest.raises(DamagedInstanceError):
        decode_frame(data, frame_format(transfer_syntax))


def test_a_gray_codestream_in_a_color_instance_is_unsupported() -> None:
    data = simplejpeg.encode_jpeg(np.full((64, 48, 1), 9, dtype=np.uint8), colorspace="GRAY")

    with pytest.raises(UnsupportedInstanceError, match="1 components of 8 bits"):
        decode_frame(data, frame_format(build.JPEG))


def test_a_jp2_file_inside_a_frame_is_tolerated() -> None:
    data = imagecodecs.jpeg2k_encode(IMAGE, level=0, codecformat="jp2", reversible=True)

    np.testing.assert_array_equal(decode_frame(data, frame_format(build.JPEG_2000_LOSSLESS)), IMAGE)


def test_padding_after_the_frame_is_tolerated() -> None:
    for transfer_syntax in (build.RLE, build.JPEG_LS, build.JPEG_2000_LOSSLESS, build.HTJ2K):
        data = build.encode(IMAGE, transfer_syntax) + b"\0"
        np.testing.assert_array_equal(decode_frame(data, frame_format(transfer_syntax)), IMAGE)


@pytest.mark.parametrize("reduce", [0, 3, 5, 16])
def test_a_reduction_that_does_not_fit_is_a_programming_error(reduce: int) -> None:
    with pytest.raises(ValueError, match="cannot be reduced"):
        decode_frame(IMAGE.tobytes(), frame_format(build.NATIVE), reduce)


def test_a_frame_with_odd_sides_cannot_be_reduced() -> None:
    odd = replace(frame_format(build.NATIVE), size=MatrixSize(63, 48))

    with pytest.raises(ValueError, match="cannot be reduced"):
        decode_frame(b"", odd, 2)


@pytest.mark.parametrize(
    "transfer_syntax", ["1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.70", "1.2.3", ""]
)
def test_other_transfer_syntaxes_are_refused_by_name(transfer_syntax: str) -> None:
    with pytest.raises(UnsupportedInstanceError, match=transfer_syntax or "not stated"):
        check_transfer_syntax(transfer_syntax)


@pytest.mark.parametrize(
    ("samples", "bits", "photometric"),
    [(1, 8, "MONOCHROME2"), (1, 16, "MONOCHROME2"), (1, 8, "PALETTE COLOR"), (3, 16, "RGB"), (3, 8, ""), (4, 8, "RGB")],
)
def test_only_8_bit_color_is_read(samples: int, bits: int, photometric: str) -> None:
    with pytest.raises(UnsupportedInstanceError):
        check_color(samples, bits, photometric)


def remove_segments(data: bytes, markers: set[int]) -> bytes:
    """JPEG without some of its application segments."""
    result, position = bytearray(data[:2]), 2
    while data[position + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, position + 2)
        if data[position + 1] not in markers:
            result += data[position : position + 2 + length]
        position += 2 + length
    return bytes(result) + data[position:]


def rename_components(data: bytes, names: bytes) -> bytes:
    """JPEG whose components carry other identifiers, in the frame header and in the scan header."""
    changed = bytearray(data)
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    for number, name in enumerate(names):
        changed[frame + 10 + 3 * number] = name
        changed[scan + 5 + 2 * number] = name
    return bytes(changed)


def test_frames_decoded_into_memory_equal_those_decoded_alone() -> None:
    frames = [build.encode(np.roll(IMAGE, shift, axis=1), build.JPEG) for shift in (0, 5, 9)]
    decoder, memory = FrameDecoder(frame_format(build.JPEG, "YBR_FULL_422")), np.empty((32, 24, 3), dtype=np.uint8)

    for frame in [*frames, frames[0] + b"\0", frames[1]]:
        decoder.decode(frame, 2, memory)
        np.testing.assert_array_equal(memory, decode_frame(frame, frame_format(build.JPEG, "YBR_FULL_422"), 2))


def test_a_repeated_header_is_no_excuse_for_another_size_or_a_cut() -> None:
    frame = build.encode(IMAGE, build.JPEG)
    decoder, memory = FrameDecoder(frame_format(build.JPEG, "YBR_FULL_422")), np.empty((64, 48, 3), dtype=np.uint8)
    decoder.decode(frame, 1, memory)

    with pytest.raises(DamagedInstanceError, match="pixels"):
        decoder.decode(build.encode(build.paint(128, 96), build.JPEG), 1, memory)
    with pytest.raises(DamagedInstanceError, match="end marker"):
        decoder.decode(frame[: len(frame) // 2], 1, memory)
    with pytest.raises(DamagedInstanceError, match="decoded"):
        decoder.decode(frame[: len(frame) // 2] + b"\xff\xd9", 1, memory)


@pytest.mark.parametrize("transfer_syntax", [build.RLE, build.JPEG_LS, build.JPEG_2000])
def test_other_encodings_are_decoded_into_memory_as_well(transfer_syntax: str) -> None:
    decoder, memory = FrameDecoder(frame_format(transfer_syntax)), np.empty((64, 48, 3), dtype=np.uint8)

    for _ in range(2):
        decoder.decode(build.encode(IMAGE, transfer_syntax), 1, memory)

    np.testing.assert_array_equal(memory, IMAGE)
