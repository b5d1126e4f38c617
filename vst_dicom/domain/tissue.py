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


def name_class(tissue_class: int | None) -> str:
    """Name a class for people; None stands for tissue that was not classified."""
    return "not classified" if tissue_class is None else TISSUE_CLASSES[tissue_class]
