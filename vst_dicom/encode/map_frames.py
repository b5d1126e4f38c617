"""What a Parametric Map says about each of its frames."""

from vst_dicom.dicom.encoded import (
    encode_code,
    encode_content_item,
    encode_item,
    encode_numbers,
    encode_sequence,
    encode_text,
)
from vst_dicom.encode.map_layers import Channel
from vst_dicom.encode.map_values import FIRST, LAST


def linear_mapping(slope: float, intercept: float) -> list[bytes]:
    """Encode what stored whole numbers mean."""
    return [
        encode_numbers("RealWorldValueFirstValueMapped", FIRST),
        encode_numbers("RealWorldValueLastValueMapped", LAST),
        encode_numbers("RealWorldValueSlope", slope),
        encode_numbers("RealWorldValueIntercept", intercept),
    ]


def float_mapping(least: float, greatest: float) -> list[bytes]:
    """Encode that stored numbers are values, and which of them occur."""
    return [
        encode_numbers("DoubleFloatRealWorldValueFirstValueMapped", least),
        encode_numbers("DoubleFloatRealWorldValueLastValueMapped", greatest),
        encode_numbers("RealWorldValueSlope", 1),
        encode_numbers("RealWorldValueIntercept", 0),
    ]


def encode_frame(number: int, channel: Channel, position: bytes, mapped: list[bytes]) -> bytes:
    """Say which channel a frame shows, where, and what its stored values mean (PS3.3 C.7.6.16.2.11).

    Parameters
    ----------
    number
        Of the frame, from 1.
    channel
        What it shows.
    position
        Encoded place of the frame, see `vst_dicom.encode.map_image.encode_position`.
    mapped
        Encoded mapping of its stored values.

    Returns
    -------
    bytes
        Its item of Per-Frame Functional Groups Sequence (5200,9230).
    """
    content = encode_item(encode_numbers("DimensionIndexValues", number, 1, 1))
    mapping = encode_item(
        encode_text("LUTLabel", channel.label),
        encode_text("LUTExplanation", channel.explanation),
        encode_sequence("MeasurementUnitsCodeSequence", encode_code(channel.unit)),
        encode_sequence(
            "QuantityDefinitionSequence", *(encode_content_item(name, value) for name, value in channel.definition)
        ),
        *mapped,
    )
    return encode_item(
        encode_sequence("FrameContentSequence", content),
        position,
        encode_sequence("RealWorldValueMappingSequence", mapping),
    )
