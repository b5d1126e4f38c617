"""Hashes over pixel data as they are stored: they name a slide's content, whatever becomes of its header."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from vst_dicom.domain.errors import DamagedInstanceError, MissingInputError
from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.slide.instance import InstanceFile
from vst_dicom.slide.level_image import LevelImage

_BLOCK_BYTES: Final = 1 << 20


def hash_pixel_data(instance: InstanceFile) -> str:
    """SHA-256 of the value of Pixel Data (7FE0,0010).

    Raises
    ------
    MissingInputError
        If the file cannot be read any more.
    """
    digest = hashlib.sha256()
    element = instance.pixel_data
    left = element.stop - element.start
    try:
        with instance.path.open("rb", buffering=0) as file:
            file.seek(element.start)
            while left > 0 and (block := file.read(min(_BLOCK_BYTES, left))):
                digest.update(block)
                left -= len(block)
    except OSError as error:
        msg = f"{instance.path} cannot be read ({error.strerror})"
        raise MissingInputError(msg) from error
    if left:
        msg = f"{instance.path.name} became shorter while it was read; export it again"
        raise DamagedInstanceError(msg)
    return digest.hexdigest()


def have_same_pixels(first: LevelImage, second: LevelImage) -> bool:
    """Whether two images hold the same frames in the same encoding."""
    return (
        first.frame_format == second.frame_format
        and first.part_frames == second.part_frames
        and [hash_pixel_data(part) for part in first.parts] == [hash_pixel_data(part) for part in second.parts]
    )


def hash_content(images: Iterable[LevelImage], spacings: Sequence[PixelSpacing]) -> str:
    """SHA-256 over all instances that are read: identity, geometry and pixels of each, in the order of their UIDs.

    Parameters
    ----------
    images
        Images of the levels.
    spacings
        Pixel spacing of each level as it is used.
    """
    lines = []
    for image, spacing in zip(images, spacings, strict=True):
        for part in image.parts:
            facts = (
                part.sop_instance_uid,
                f"{image.size.n_rows}x{image.size.n_columns}",
                f"{image.frame_format.size.n_rows}x{image.frame_format.size.n_columns}",
                f"{spacing.row_mm:.9g}x{spacing.column_mm:.9g}",
                hash_pixel_data(part),
            )
            lines.append(" ".join(facts))
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
