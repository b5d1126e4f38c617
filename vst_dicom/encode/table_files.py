"""Tiles by genes as CSV and as Parquet."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vst_dicom.domain.errors import UsageError
from vst_dicom.encode.stored_result import StoredResult
from vst_dicom.files import whole_file

_ROWS_AT_ONCE: Final = 256


def csv_blocks(stored: StoredResult) -> Iterator[str]:
    """Give one line per tile, after lines that begin with ``#`` and say what the values are; some lines at a time.

    ``pandas.read_csv(path, comment="#")`` reads it; the values are those of the result, digit by digit.

    Parameters
    ----------
    stored
        The result.
    """
    yield "".join(f"# {name}: {' '.join(value.split())}\n" for name, value in stored.about.items())
    frame = stored.to_frame()
    for start in range(0, max(len(frame), 1), _ROWS_AT_ONCE):
        yield frame[start : start + _ROWS_AT_ONCE].to_csv(index=False, header=start == 0, lineterminator="\n")


def write_csv(path: Path, stored: StoredResult) -> None:
    """Write the lines of `csv_blocks`.

    Parameters
    ----------
    path
        Where to.
    stored
        The result.
    """
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.writelines(csv_blocks(stored))


def write_parquet(path: Path, stored: StoredResult) -> None:
    """Write one row per tile; the schema's metadata say what the values are, as text and as JSON under ``vst_dicom``.

    Parameters
    ----------
    path
        Where to.
    stored
        The result.

    Raises
    ------
    UsageError
        If pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        msg = "Parquet needs pyarrow, which is not installed: pip install 'vst-dicom[export]', or choose --to csv"
        raise UsageError(msg) from error
    table = pyarrow.Table.from_pandas(stored.to_frame(), preserve_index=False)
    about = {**stored.about, "vst_dicom": json.dumps(stored.about)}
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **about})
    with whole_file(path) as temporary:
        pyarrow.parquet.write_table(table, temporary, compression="zstd")
