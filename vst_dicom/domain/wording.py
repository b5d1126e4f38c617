"""Words that stand in every object, page and report."""

from typing import Final

PRODUCT: Final = "vst_dicom"
"""Manufacturer (0008,0070) of everything that predictions become."""

UNIT: Final = "ln(1+CP10k)"
"""Unit of every expression value: natural logarithm of one plus counts per ten thousand counts of the spot or tile."""

HOTSPOT: Final = (
    "Region of high predicted expression relative to similar tissue of this slide: not measured, not a mutation; "
    "confirm by IHC, ISH or RNA. Look first for ordinary reasons: a wrong tissue class, an artifact, the influence of "
    "neighboring tissue."
)
"""What a hotspot is, and is not."""

RESEARCH_USE_ONLY: Final = "For Research Use Only. Not for use in diagnostic procedures."
