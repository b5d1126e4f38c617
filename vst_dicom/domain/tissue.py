"""Kinds of tissue that a tile may look like."""

from typing import Final

TISSUE_CLASSES: Final = ("tumor-like epithelium", "stroma", "lymphocyte-rich", "fat", "other")
"""Index is what arrays hold. The first is epithelium that expresses what carcinomas of the cohort express; normal
epithelium expresses much of it too, so it is never called tumor."""

TUMOR_LIKE: Final = 0
STROMA: Final = 1
LYMPHOCYTE_RICH: Final = 2
FAT: Final = 3
OTHER: Final = 4

NOT_CLASSIFIED: Final = -1
"""In place of a class where the bundle has no classifier that held-out tissue supports."""


def name_class(tissue_class: int) -> str:
    """Name a class for people.

    Raises
    ------
    ValueError
        If there is no such class.
    """
    if tissue_class == NOT_CLASSIFIED:
        return "not classified"
    if not 0 <= tissue_class < len(TISSUE_CLASSES):
        msg = f"there is no tissue class {tissue_class}"
        raise ValueError(msg)
    return TISSUE_CLASSES[tissue_class]
