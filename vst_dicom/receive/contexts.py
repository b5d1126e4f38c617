"""Presentation contexts that the listener accepts (PS3.8 7.1.1.13)."""

from typing import Final

from pydicom.uid import UID
from pynetdicom.presentation import PresentationContext

from vst_dicom.receive.accepted import STORED, TRANSFER_SYNTAXES, UNCOMPRESSED

VERIFICATION: Final = "1.2.840.10008.1.1"
STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"


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
