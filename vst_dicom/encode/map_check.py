"""Written Parametric Maps, compared with what they should show."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import JPEGLSLossless

from vst_dicom.dicom.codes import Code
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode import map_image
from vst_dicom.encode.map_layers import Channel, MapSeries
from vst_dicom.encode.map_values import BACKGROUND, FIRST, LAST
from vst_dicom.encode.objects import require

_HALF_STEP: Final = 0.500001
"""Of the slope: what a value may lose, and a little for arithmetic."""

_CHANNELS_AT_ONCE: Final = 16
"""Channels whose maps are made together: as many neighbors in memory as a processor reads at once."""


def check_parametric_map(dataset: Dataset, source: SourceSlide, result: SlideResult, shown: MapSeries) -> None:
    """Compare place, labels, units and decoded values: whole numbers may be off by half a step, floats not at all.

    Raises
    ------
    EncodingError
        If something differs.
    """
    map_image.check_place(dataset, source, result)
    frames = dataset.PerFrameFunctionalGroupsSequence
    require(len(frames) == len(shown.channels) == dataset.NumberOfFrames, "has another number of frames")
    stored = _read_frames(dataset)
    size = result.grid.size
    require(stored.shape == (len(frames), size.n_rows, size.n_columns), "has frames of another size")
    is_float = "FloatPixelData" in dataset
    background = np.float32(dataset.FloatPixelPaddingValue) if is_float else BACKGROUND
    for number, (groups, channel, wanted) in enumerate(
        zip(frames, shown.channels, _expected_maps(result, shown), strict=True), start=1
    ):
        item, found = groups.RealWorldValueMappingSequence[0], stored[number - 1]
        require(_describes(item, channel), f"describes frame {number} otherwise")
        has_value = ~np.isnan(wanted)
        same = bool(((found != background) == has_value).all())
        require(same, f"has values where there is no tile, or none where there is one, in frame {number}")
        check = _check_floats if is_float else _check_whole_numbers
        check(item, found[has_value], wanted[has_value], number)


def _expected_maps(result: SlideResult, shown: MapSeries) -> Iterator[NDArray[np.float32]]:
    """Give each channel's map, shape ``(n_rows, n_columns)``, NaN where there is no value."""
    for first in range(0, len(shown.channels), _CHANNELS_AT_ONCE):
        yield from result.grid.place(shown.values[:, first : first + _CHANNELS_AT_ONCE], fill=np.nan)


def _read_frames(dataset: Dataset) -> NDArray[Any]:
    """Decode all frames, shape ``(n_frames, n_rows, n_columns)``."""
    n_frames = int(dataset.NumberOfFrames)
    if dataset.file_meta.TransferSyntaxUID == JPEGLSLossless:
        import imagecodecs

        encoded = generate_frames(dataset.PixelData, number_of_frames=n_frames)
        return np.stack([imagecodecs.jpegls_decode(frame) for frame in encoded])
    return np.asarray(dataset.pixel_array).reshape(n_frames, dataset.Rows, dataset.Columns)


def _describes(item: Dataset, channel: Channel) -> bool:
    definition = [
        (_to_pair(content.ConceptNameCodeSequence[0]), _to_pair(content.ConceptCodeSequence[0]))
        for content in item.QuantityDefinitionSequence
    ]
    wanted = [(_wanted_pair(name), _wanted_pair(value)) for name, value in channel.definition]
    unit = item.MeasurementUnitsCodeSequence[0]
    return (
        (item.LUTLabel, item.LUTExplanation) == (channel.label, channel.explanation)
        and definition == wanted
        and (_to_pair(unit), unit.CodeMeaning) == (_wanted_pair(channel.unit), channel.unit.meaning)
    )


def _to_pair(item: Dataset) -> tuple[str, str]:
    return str(item.get("CodeValue") or item.LongCodeValue), str(item.CodingSchemeDesignator)


def _wanted_pair(code: Code) -> tuple[str, str]:
    return code.value, code.scheme


def _check_whole_numbers(item: Dataset, stored: NDArray[np.uint16], values: NDArray[np.float32], number: int) -> None:
    in_range = (item.RealWorldValueFirstValueMapped, item.RealWorldValueLastValueMapped) == (FIRST, LAST)
    require(in_range, "maps other stored values")
    slope, intercept = float(item.RealWorldValueSlope), float(item.RealWorldValueIntercept)
    error = float(np.abs(stored * slope + intercept - values).max(initial=0.0))
    allowed = slope * _HALF_STEP + 4 * np.finfo(np.float64).eps * abs(intercept)
    require(bool(error <= allowed), f"is off by {error:.3g} in frame {number}")


def _check_floats(item: Dataset, stored: NDArray[np.float32], values: NDArray[np.float32], number: int) -> None:
    same = (item.RealWorldValueSlope, item.RealWorldValueIntercept) == (1, 0) and bool((stored == values).all())
    require(same, f"has other values in frame {number}")
    limits = (item.DoubleFloatRealWorldValueFirstValueMapped, item.DoubleFloatRealWorldValueLastValueMapped)
    wanted = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    require(limits == wanted, f"maps other stored values in frame {number}")
