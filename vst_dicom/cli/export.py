"""``vst-dicom export``: a result folder in other forms, without the slide."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vst_dicom.cli.options import split_list
from vst_dicom.domain.errors import UsageError


class Target(StrEnum):
    """What to write."""

    CSV = "csv"
    PARQUET = "parquet"
    GEOJSON = "geojson"
    SPATIALDATA = "spatialdata"


def export(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="A result folder of predict or serve.")],
    to: Annotated[Target, typer.Option(help="spatialdata makes a zarr folder, the others a file.")],
    out: Annotated[Path, typer.Option(help="File or folder to make.")],
    genes: Annotated[str, typer.Option(metavar="A,B", help="Only these genes; all of the result if none.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Write a result as CSV, Parquet, GeoJSON with fewer genes, or SpatialData zarr.

    Example: vst-dicom export results/1.2.3 --to csv --out tiles.csv

    Example: vst-dicom export results/1.2.3 --to geojson --genes ERBB2,GNAS --out few.geojson

    Example: vst-dicom export results/1.2.3 --to spatialdata --out slide.zarr
    """
    if to is not Target.SPATIALDATA:
        _refuse(out, overwrite)
    from vst_dicom.encode.stored_result import read_stored_result

    stored = read_stored_result(result, tuple(split_list(genes)) or None)
    if to is Target.SPATIALDATA:
        from vst_dicom.encode.spatialdata_export import write_spatialdata

        write_spatialdata(out, stored, overwrite=overwrite)
    elif to is Target.GEOJSON:
        from vst_dicom.encode.geojson_selection import rewrite_geojson

        rewrite_geojson(out, stored)
    else:
        from vst_dicom.encode.table_files import write_csv, write_parquet

        (write_csv if to is Target.CSV else write_parquet)(out, stored)
    about = stored.about
    typer.echo(f"{stored.table.n_obs} tiles, {stored.table.n_vars} genes, predicted with {about['bundle']}: {out}")
    typer.echo(about["intended_use"])


def _refuse(out: Path, overwrite: bool) -> None:
    """Refuse to write where something else lies, or where no folder is."""
    if out.is_dir() or (out.exists() and not overwrite):
        msg = f"{out} exists; choose another --out, or replace a file with --overwrite"
        raise UsageError(msg)
    if not out.absolute().parent.is_dir():
        msg = f"there is no folder {out.absolute().parent}; make it first, or choose another --out"
        raise UsageError(msg)
