"""What the listener accepts: SOP classes and transfer syntaxes (PS3.4 table B.5-1, PS3.6 table A-1)."""

from typing import Final

from pydicom.uid import UID
from pynetdicom.presentation import PresentationContext

VERIFICATION: Final = "1.2.840.10008.1.1"
STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"

STORED: Final = {
    "1.2.840.10008.5.1.4.1.1.77.1.6": "VL Whole Slide Microscopy Image Storage",
    "1.2.840.10008.5.1.4.1.1.66.4": "Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.30": "Parametric Map Storage",
    "1.2.840.10008.5.1.4.1.1.91.1": "Microscopy Bulk Simple Annotations Storage",
    "1.2.840.10008.5.1.4.1.1.88.33": "Comprehensive SR Storage",
    "1.2.840.10008.5.1.4.1.1.88.34": "Comprehensive 3D SR Storage",
}
"""Slides, and the kinds of our own results: a PACS that routes everything sends them back, and they must be known."""

UNCOMPRESSED: Final = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
"""Explicit and Implicit VR Little Endian."""

TRANSFER_SYNTAXES: Final = (
    "1.2.840.10008.1.2.4.50",  # JPEG Baseline
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.81",  # JPEG-LS Near-lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.4.201",  # HTJ2K Lossless
    "1.2.840.10008.1.2.4.202",  # HTJ2K Lossless RPCL
    "1.2.840.10008.1.2.4.203",  # HTJ2K
    "1.2.840.10008.1.2.4.110",  # JPEG XL Lossless
    "1.2.840.10008.1.2.4.111",  # JPEG XL JPEG Recompression
    "1.2.840.10008.1.2.4.112",  # JPEG XL
    "1.2.840.10008.1.2.5",  # RLE Lossless
    *UNCOMPRESSED,
)
"""Never a deflated one: a megabyte inflates to gigabytes before anything can be checked."""


def supported_contexts(*, with_commitment: bool) -> list[PresentationContext]:
    """List what is accepted; with storage commitment, peers may report as SCP on an association of their own."""
    contexts = [_context(uid, TRANSFER_SYNTAXES) for uid in STORED]
    contexts.append(_context(VERIFICATION, UNCOMPRESSED))
    if with_commitment:
        commitment = _context(STORAGE_COMMITMENT, UNCOMPRESSED)
        commitment.scu_role = commitment.scp_role = True
        contexts.append(commitment)
    return contexts


def prefer_first(requested: list[PresentationContext]) -> None:
    """Reduce each proposed context to the first transfer syntax that we know.

    Requestors name first how they hold the pixels; any other choice would make them transcode.
    """
    for context in requested:
        known = UNCOMPRESSED if context.abstract_syntax not in STORED else TRANSFER_SYNTAXES
        first = next((syntax for syntax in context.transfer_syntax if syntax in known), None)
        if first is not None:
            context.transfer_syntax = [first]


def _context(abstract_syntax: str, transfer_syntaxes: tuple[str, ...]) -> PresentationContext:
    context = PresentationContext()
    context.abstract_syntax = UID(abstract_syntax)
    context.transfer_syntax = [UID(syntax) for syntax in transfer_syntaxes]
    return context
