"""``vst-dicom import``: a vendor's slide or a plain image becomes a DICOM pyramid."""

import json
import time
from datetime import date, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vst_dicom.cli.options import parse_optional_spacing
from vst_dicom.cli.progress import stage_progress
from vst_dicom.domain.errors import UsageError

if TYPE_CHECKING:
    from vst_dicom.slide.vendor import VendorSlide


class Stain(StrEnum):
    """What the specimen preparation says about staining."""

    HE = "he"
    NONE = "none"


def import_slide(
    slide: Annotated[
        Path, typer.Argument(help="A vendor's slide (.svs, .ndpi, .mrxs, .tif …) or a JPEG, PNG or TIFF.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to make; must be empty if it exists.")],
    pixel_spacing_um: Annotated[
        str, typer.Option(metavar="X[,Y]", help="Micrometers per pixel; needed where the file states none.")
    ] = "",
    patient_id: Annotated[str, typer.Option(help="Patient ID (0010,0020).")] = "",
    patient_name: Annotated[str, typer.Option(metavar="FAMILY^GIVEN", help="Patient's Name (0010,0010).")] = "",
    patient_birth_date: Annotated[str, typer.Option(metavar="YYYY-MM-DD")] = "",
    patient_sex: Annotated[str, typer.Option(metavar="M|F|O")] = "",
    accession_number: Annotated[str, typer.Option(help="Accession Number (0008,0050).")] = "",
    container_id: Annotated[str, typer.Option(help="Identifier of the glass (0040,0512).")] = "",
    specimen_id: Annotated[str, typer.Option(help="Identifier of the tissue (0040,0551).")] = "",
    study_uid: Annotated[str, typer.Option(help="Study Instance UID; derived from the content if not given.")] = "",
    anatomy: Annotated[str, typer.Option(metavar="CODE:MEANING", help="SNOMED CT, such as 76752008:Breast.")] = "",
    stain: Annotated[Stain, typer.Option(help="Whether the preparation says hematoxylin and eosin.")] = Stain.HE,
    frame_px: Annotated[int, typer.Option(help="Rows and columns of a frame.")] = 256,
    jpeg_quality: Annotated[int, typer.Option(help="1 to 100.")] = 85,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Write a DICOM whole slide pyramid from a vendor's slide or a plain image.

    Example: vst-dicom import photo.jpg --out slide --pixel-spacing-um 0.688 --patient-id P1
    """
    from vst_dicom.files import refuse_existing
    from vst_dicom.slide.description import SlideDescription
    from vst_dicom.slide.vendor import open_vendor_slide
    from vst_dicom.slide.writing import write_planned_pyramid

    started_s = time.monotonic()
    refuse_existing(out)
    description = SlideDescription(
        patient_id=patient_id,
        patient_name=patient_name,
        patient_birth_date=_parse_date(patient_birth_date),
        patient_sex=patient_sex,
        accession_number=accession_number,
        container_identifier=container_id,
        specimen_identifier=specimen_id,
        study_instance_uid=study_uid,
        anatomy=_parse_code(anatomy),
        stained_with_he=stain is Stain.HE,
    )
    with open_vendor_slide(
        slide,
        pixel_spacing=parse_optional_spacing(pixel_spacing_um),
        description=description,
        frame_px=frame_px,
        jpeg_quality=jpeg_quality,
        now=datetime.now().astimezone(),
    ) as opened:
        with stage_progress() as progress:
            files = write_planned_pyramid(opened, opened.plan, out, progress=partial(progress, "write frames"))
        _report(opened, files, time.monotonic() - started_s, as_json=as_json)


def _report(slide: "VendorSlide", files: list[Path], seconds: float, *, as_json: bool) -> None:
    source, spacing = slide.source, slide.plan.plane.spacing
    facts: dict[str, Any] = {
        "files": [str(file) for file in files],
        "study_instance_uid": source.study_instance_uid,
        "series_instance_uid": source.series_instance_uid,
        "rows": source.size.n_rows,
        "columns": source.size.n_columns,
        "pixel_spacing_um": [round(spacing.column_um, 9), round(spacing.row_um, 9)],
        "pixel_spacing_given": source.spacing_assumed,
        "warnings": list(source.warnings),
        "seconds": round(seconds, 3),
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for warning in source.warnings:
        typer.echo(f"Warning: {warning}", err=True)
    typer.echo(
        f"{len(files)} levels of {source.size.n_columns} x {source.size.n_rows} px at "
        f"{spacing.column_um:g} x {spacing.row_um:g} µm/px in {files[0].parent} ({seconds:.1f} s)"
    )


def _parse_date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise UsageError("--patient-birth-date must be written as YYYY-MM-DD") from error


def _parse_code(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    value, _, meaning = text.partition(":")
    return value.strip(), meaning.strip()
