"""All DICOM objects of a result: which there are, and writing them."""

from collections.abc import Set
from pathlib import Path

from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.forms import Encoding, ResultForm
from vst_dicom.domain.pixels import Thumbnail
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode.annotations import annotation_objects
from vst_dicom.encode.color_overlay import color_overlay_objects
from vst_dicom.encode.objects import ResultObject
from vst_dicom.encode.parametric_map import parametric_map_objects
from vst_dicom.encode.report import report_objects
from vst_dicom.encode.segmentation import segmentation_objects
from vst_dicom.encode.writing import write_dicom


def result_objects(
    source: SourceSlide,
    result: SlideResult,
    forms: Set[ResultForm],
    encoding: Encoding,
    picture: Thumbnail | None = None,
) -> list[ResultObject]:
    """List the DICOM objects of the chosen forms; the report, last, refers to the others.

    Parameters
    ----------
    source
        The slide.
    result
        Its predictions; what needs a gene is left out where it has none.
    forms
        Which forms; those that are not DICOM are passed over.
    encoding
        How they are written.
    picture
        The slide, to paint a gene over; it is needed only where `encoding` names one.

    Raises
    ------
    UsageError
        If a gene that is to be colored is not shown.
    ValueError
        If a gene is to be painted and there is no picture.
    """
    objects: list[ResultObject] = []
    if ResultForm.PARAMETRIC_MAP in forms:
        objects += parametric_map_objects(source, result, encoding)
    if ResultForm.SEGMENTATION in forms:
        objects += segmentation_objects(source, result, encoding)
    if ResultForm.ANNOTATIONS in forms:
        objects += annotation_objects(source, result, encoding)
    if encoding.color_overlay_gene is not None:
        if picture is None:
            raise ValueError("a picture of the slide is needed to paint a gene over it")
        objects += color_overlay_objects(source, result, encoding.color_overlay_gene, picture)
    if ResultForm.REPORT in forms:
        objects += report_objects(source, result, objects)
    return objects


def write_objects(objects: list[ResultObject], folder: Path) -> None:
    """Make and write one object after the other, so that only one is in memory."""
    for written in objects:
        write_dicom(written.encode(), folder / written.file_name, written.transfer_syntax_uid)
