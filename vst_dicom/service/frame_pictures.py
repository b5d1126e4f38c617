"""Pictures of single frames: color as it is, segments in their colors, maps in gray (PS3.18 8.3.5, 10.4.1.1.3)."""

from http import HTTPStatus
from typing import Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from starlette.exceptions import HTTPException

from vst_dicom.dicom.attributes import read_int, read_items, read_numbers, read_text
from vst_dicom.dicom.whole_slide import VL_WHOLE_SLIDE
from vst_dicom.domain.errors import InputError, MissingInputError
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.pixels import GLASS, RgbImage
from vst_dicom.encode.colors import RGB, TISSUE, from_cielab_value
from vst_dicom.service.frames import FLOAT_PIXEL_DATA, OCTET_STREAM, FrameReader
from vst_dicom.service.part10 import Part10File
from vst_dicom.service.render_parameters import Window
from vst_dicom.slide.codecs import FrameFormat, check_color, check_transfer_syntax, decode_frame
from vst_dicom.slide.codestream import read_jpeg_head
from vst_dicom.slide.elements import PER_FRAME_FUNCTIONAL_GROUPS

SEGMENTATION: Final = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP: Final = "1.2.840.10008.5.1.4.1.1.66.7"
PARAMETRIC_MAP: Final = "1.2.840.10008.5.1.4.1.1.30"

_JPEG_LS: Final = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_MOST_FRAME_PIXELS: Final = 1 << 24
_SEGMENT_IDENTIFICATION: Final = 0x0062000A
_SEGMENT_NUMBER: Final = 0x0062000B


def not_renderable(why: str) -> HTTPException:
    """Say that there is no picture of something, and why."""
    return HTTPException(HTTPStatus.NOT_ACCEPTABLE, f"no picture is made of it: {why}")


def refuse_burned_in(header: Dataset) -> None:
    """Refuse an image that says that text is part of its pixels, which may be the patient's name.

    Raises
    ------
    MissingInputError
        Naming the attribute.
    """
    if read_text(header, "BurnedInAnnotation").upper() == "YES":
        raise MissingInputError("images with Burned In Annotation (0028,0301) YES are not rendered")


def read_icc_profile(header: Dataset) -> bytes | None:
    """Read the color profile of the first optical path (PS3.3 C.8.12.5); None without one."""
    for path in read_items(header, "OpticalPathSequence")[:1]:
        profile = path.get("ICCProfile")
        return profile if isinstance(profile, bytes) else None
    return None


class FramePictures:
    """Paints frames of one image.

    Parameters
    ----------
    file, frames
        The image.

    Raises
    ------
    MissingInputError
        If it may show a label.
    HTTPException
        406 if it is of a kind that is not rendered.
    """

    def __init__(self, file: Part10File, frames: FrameReader) -> None:
        self._file, self._frames = file, frames
        self._header = header = file.read_header()
        refuse_burned_in(header)
        n_rows, n_columns = read_int(header, "Rows") or 0, read_int(header, "Columns") or 0
        if not 0 < n_rows * n_columns <= _MOST_FRAME_PIXELS:
            raise not_renderable(
                f"its frames have {n_rows} x {n_columns} pixels, at most {_MOST_FRAME_PIXELS} are read"
            )
        self.size = MatrixSize(n_rows, n_columns)
        self.n_frames = frames.n_frames
        self.is_color = file.sop_class_uid == VL_WHOLE_SLIDE
        self.icc_profile = read_icc_profile(header)
        if self.is_color:
            self._format = _color_format(file, header, self.size)
        elif file.sop_class_uid not in (SEGMENTATION, LABEL_MAP, PARAMETRIC_MAP):
            raise not_renderable("it is neither an image of a slide nor a segmentation nor a map")

    def paint(self, number: int, window: Window | None) -> RgbImage:
        """Paint a frame.

        Parameters
        ----------
        number
            From 1.
        window
            For maps; None for that of the object.

        Raises
        ------
        MissingInputError
            If there is no such frame.
        DamagedInstanceError
            If it cannot be decoded.
        HTTPException
            406 if it is encoded in a way that is not rendered.
        """
        data = self._frames.read(number)
        if self.is_color:
            return decode_frame(data, self._format)
        stored = self._decode(data)
        if self._file.sop_class_uid == PARAMETRIC_MAP:
            return _paint_gray(stored, window or _stated_window(self._header), self._header)
        if self._file.sop_class_uid == LABEL_MAP:
            return self._paint_labels(stored)
        return self._paint_segment(stored, number)

    def _decode(self, data: bytes) -> NDArray[np.generic]:
        """Decode samples of one kind, shape ``(n_rows, n_columns)``."""
        shape = self.size.n_rows, self.size.n_columns
        bits = read_int(self._header, "BitsAllocated")
        if self._frames.media_type == OCTET_STREAM and bits == 1:
            unpacked = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
            return unpacked[: shape[0] * shape[1]].reshape(shape)
        if self._frames.media_type == OCTET_STREAM:
            sign = "i" if read_int(self._header, "PixelRepresentation") else "u"
            kind = "f" if FLOAT_PIXEL_DATA in self._file.elements or bits == 64 else sign
            return np.frombuffer(data, f"<{kind}{(bits or 8) // 8}", count=shape[0] * shape[1]).reshape(shape)
        if self._frames.transfer_syntax_uid in _JPEG_LS:
            head = read_jpeg_head(data)
            if (head.n_rows, head.n_columns) == shape:
                decoded: NDArray[np.generic] = imagecodecs.jpegls_decode(data)
                if decoded.shape == shape:
                    return decoded
        raise not_renderable("segments and maps are read uncompressed, or as JPEG-LS")

    def _paint_segment(self, stored: NDArray[np.generic], number: int) -> RgbImage:
        """Paint one segment over glass, as strongly as it is there."""
        whole = read_int(self._header, "MaximumFractionalValue") or 255
        if read_text(self._header, "SegmentationType").upper() != "FRACTIONAL":
            whole = 1
        place = [PER_FRAME_FUNCTIONAL_GROUPS, number, _SEGMENT_IDENTIFICATION, 1, _SEGMENT_NUMBER]
        segment = self._file.read_short(place) or 1
        color = _segment_colors(self._header).get(segment, TISSUE)
        share = np.clip(stored.astype(np.float32) / whole, 0, 1)[..., None]
        return np.rint(GLASS + share * (np.array(color, np.float32) - GLASS)).astype(np.uint8)

    def _paint_labels(self, stored: NDArray[np.generic]) -> RgbImage:
        """Paint each number in the color of its segment; 0 and numbers without one are glass."""
        picture = np.full((*stored.shape, 3), GLASS, dtype=np.uint8)
        for segment, color in _segment_colors(self._header).items():
            if segment:
                picture[stored == segment] = color
        return picture


def _color_format(file: Part10File, header: Dataset, size: MatrixSize) -> FrameFormat:
    photometric = read_text(header, "PhotometricInterpretation").upper()
    try:
        check_transfer_syntax(file.transfer_syntax_uid)
        check_color(read_int(header, "SamplesPerPixel"), read_int(header, "BitsAllocated"), photometric)
    except InputError as error:
        raise not_renderable(str(error)) from error
    return FrameFormat(size, file.transfer_syntax_uid, photometric, read_int(header, "PlanarConfiguration") or 0)


def _segment_colors(header: Dataset) -> dict[int, RGB]:
    """Recommended Display CIELab Value (0062,000D) by Segment Number (0062,0004)."""
    colors = {}
    for segment in read_items(header, "SegmentSequence"):
        stated = read_numbers(segment, "RecommendedDisplayCIELabValue", 3)
        number = read_int(segment, "SegmentNumber")
        if number is not None:
            colors[number] = TISSUE if stated is None else from_cielab_value(stated)
    return colors


def _stated_window(header: Dataset) -> Window | None:
    """Window that all frames share (PS3.3 C.7.6.16.2.10)."""
    for groups in read_items(header, "SharedFunctionalGroupsSequence"):
        for item in read_items(groups, "FrameVOILUTSequence"):
            center, width = (read_numbers(item, keyword, 1) for keyword in ("WindowCenter", "WindowWidth"))
            if center and width:
                function = (read_text(item, "VOILUTFunction") or "LINEAR").lower().replace("_", "-")
                return Window(center[0], width[0], function)
    return None


def _paint_gray(stored: NDArray[np.generic], window: Window | None, header: Dataset) -> RgbImage:
    """Paint stored values through a window (PS3.3 C.11.2.1.2); without one from the least to the greatest."""
    values = np.nan_to_num(stored.astype(np.float64))
    if window is None:
        least, most = float(values.min()), float(values.max())
        window = Window((least + most) / 2, max(most - least, 1e-9), "linear-exact")
    if window.function == "sigmoid":
        share = 1 / (1 + np.exp(np.clip(-4 * (values - window.center) / window.width, -700, 700)))
    elif window.function == "linear" and window.width > 1:
        share = (values - (window.center - 0.5)) / (window.width - 1) + 0.5
    else:
        share = (values - window.center) / window.width + 0.5
    if read_text(header, "PhotometricInterpretation") == "MONOCHROME1":
        share = 1 - share
    gray = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)
