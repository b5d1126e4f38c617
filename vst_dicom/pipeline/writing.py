"""Write all forms of a result into a folder that appears whole or not at all."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from vst_dicom import __version__
from vst_dicom.dicom.source import Slide
from vst_dicom.domain.forms import Encoding, ResultForm
from vst_dicom.domain.pixels import Thumbnail
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode.anndata_export import write_anndata
from vst_dicom.encode.checks import check_result
from vst_dicom.encode.forms import result_objects, write_objects
from vst_dicom.encode.geojson import write_geojson
from vst_dicom.encode.validation import validate_objects
from vst_dicom.files import whole_folder
from vst_dicom.maps.picture import Backdrop, draw_overview
from vst_dicom.maps.summary import RunFacts, summarize
from vst_dicom.pipeline.stages import Stages
from vst_dicom.predict.predictor import Predictor
from vst_dicom.tiles.thumbnail import THUMBNAIL_UM, read_thumbnail

SUMMARY_FILE: Final = "summary.json"
OVERVIEW_FILE: Final = "overview.png"
GEOJSON_FILE: Final = "tiles.geojson"
ANNDATA_FILE: Final = "expression.h5ad"

_PICTURE_PX: Final = 1500
"""Longest side of the slide in the overview picture and in the AnnData file."""

_BACKDROP_PX: Final = 4096
"""Longest side of the picture that a gene is painted over; it is larger where `THUMBNAIL_UM` would be exceeded."""

_FINEST_UM: Final = 0.5
"""No picture needs smaller pixels."""

_NUMERIC_LIBRARIES: Final = ("numpy", "pydicom", "highdicom", "opencv-python-headless")


def write_results(
    out: Path,
    slide: Slide,
    predictor: Predictor,
    result: SlideResult,
    forms: frozenset[ResultForm],
    encoding: Encoding,
    stages: Stages,
    *,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Encode, check and write; returns the summary.

    Parameters
    ----------
    out
        Folder to make.
    slide, predictor, result
        What was read, by what it was predicted, and what was found.
    forms
        Which forms to write; those that need a gene are left out where evidence supports none.
    encoding
        How they are written.
    stages
        Measures the work.
    overwrite
        Whether a folder with earlier results may be replaced.

    Raises
    ------
    EncodingError
        If an object does not state what the result says, or a validator refuses it; nothing is written then.
    ResourceError
        If the disk cannot take the files.
    """
    with whole_folder(out, overwrite=overwrite) as folder:
        with stages.measure("encode"):
            objects = result_objects(slide.source, result, forms, encoding, _read_backdrop(slide, encoding))
            write_objects(objects, folder)
        with stages.measure("check"):
            check_result(slide.source, result, objects, folder)
        if encoding.validate:
            with stages.measure("validate"):
                validate_objects(slide.source, objects, folder)
        with stages.measure("export"):
            _write_exports(folder, slide, result, forms, encoding)
        facts = RunFacts(
            slide=_slide_facts(slide),
            engine=predictor.engine.facts,
            stage_seconds=stages.seconds,
            versions={"vst-dicom": __version__, **_versions(predictor.engine.name)},
            files=[*(path.name for path in folder.iterdir()), SUMMARY_FILE],
        )
        summary = summarize(result, predictor.bundle.genes, facts)
        (folder / SUMMARY_FILE).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return summary


def _versions(engine: str) -> dict[str, str]:
    """Give the versions of the libraries that shape the numbers."""
    return {name: version(name) for name in (engine, *_NUMERIC_LIBRARIES)}


def _write_exports(
    folder: Path, slide: Slide, result: SlideResult, forms: frozenset[ResultForm], encoding: Encoding
) -> None:
    """Write what is not DICOM."""
    picture = read_thumbnail(slide, max(_longest_um(slide) / _PICTURE_PX, _FINEST_UM))
    if ResultForm.OVERVIEW in forms:
        pixel_mm = (picture.spacing.column_mm, picture.spacing.row_mm)
        backdrop = Backdrop(picture.image, picture.base_px, pixel_mm)
        draw_overview(folder / OVERVIEW_FILE, backdrop, result)
    if ResultForm.GEOJSON in forms and result.expression.genes:
        write_geojson(folder / GEOJSON_FILE, slide.source, result, encoding.geojson_genes)
    if ResultForm.ANNDATA in forms and result.expression.genes:
        write_anndata(folder / ANNDATA_FILE, slide.source, result, picture.image, picture.spacing)


def _read_backdrop(slide: Slide, encoding: Encoding) -> Thumbnail | None:
    if encoding.color_overlay_gene is None:
        return None
    return read_thumbnail(slide, min(max(_longest_um(slide) / _BACKDROP_PX, _FINEST_UM), THUMBNAIL_UM))


def _longest_um(slide: Slide) -> float:
    base = slide.levels[0]
    return max(base.size.n_rows * base.spacing.row_um, base.size.n_columns * base.spacing.column_um)


def _slide_facts(slide: Slide) -> dict[str, Any]:
    """Identify the slide without naming the patient."""
    source, base = slide.source, slide.levels[0]
    return {
        "study_instance_uid": source.study_instance_uid,
        "series_instance_uid": source.series_instance_uid,
        "sop_instance_uids": [str(instance.SOPInstanceUID) for instance in source.instances],
        "frame_of_reference_uid": source.frame_of_reference_uid,
        "content_sha256": source.content_sha256,
        "n_rows": base.size.n_rows,
        "n_columns": base.size.n_columns,
        "spacing_um": [base.spacing.row_um, base.spacing.column_um],
        "spacing_assumed": source.spacing_assumed,
    }
