"""Words that stand in every object, page and report."""

from typing import Final

UNIT: Final = "ln(1+CP10k)"
"""Unit of every expression value: natural logarithm of one plus counts per ten thousand counts of the spot or tile."""

RESEARCH_USE_ONLY: Final = "For Research Use Only. Not for use in diagnostic procedures."
