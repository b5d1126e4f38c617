"""Small slides with tissue, as a scanner would send them, and the ledger rows of their arrival."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, insert

from tests.wsi_builder import JPEG, VL_WHOLE_SLIDE, Wsi, write_wsi
from vst_dicom.config import Settings
from vst_dicom.ledger.jobs import create_job
from vst_dicom.ledger.tables import instances, slides

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
PINK, GLASS = (220, 140, 190), (240, 240, 240)


def write_slide(path: Path, number: int, size_px: int = 768, **changes: object) -> Path:
    """Write a slide whose content and identifiers follow from its number."""
    image = np.full((size_px, size_px, 3), GLASS, dtype=np.uint8)
    margin = size_px // 8
    image[margin:-margin, margin:-margin] = PINK
    image[margin : margin + 8, margin : margin + 8] = number % 200
    root = f"1.2.826.0.1.3680043.8.498.7.{number}"
    wsi = Wsi(
        [image],
        tile=(256, 256),
        transfer_syntax=JPEG,
        study=f"{root}.1",
        series=f"{root}.2",
        uid=f"{root}.3",
        **changes,  # type: ignore[arg-type]
    )
    return write_wsi(path, wsi)


def add_slide_job(database: Engine, settings: Settings, number: int, key: str = "", **changes: object) -> str:
    """Spool a slide and create its job; returns the key."""
    key = key or f"{number:064x}"
    file_name = f"00/{key[-32:]}.dcm"
    write_slide(settings.spool / file_name, number, **changes)
    root = f"1.2.826.0.1.3680043.8.498.7.{number}"
    with database.begin() as connection:
        slide = connection.execute(
            insert(slides).values(
                group_key=key,
                study_instance_uid=f"{root}.1",
                series_instance_uid=f"{root}.2",
                state="queued",
                first_instance_at=NOW,
                last_instance_at=NOW,
                reply_to_ae="SCANNER",
            )
        )
        assert slide.inserted_primary_key is not None
        instance = connection.execute(
            insert(instances).values(
                sop_instance_uid=f"{root}.3",
                revision=int(key[:8], 16),
                sop_class_uid=VL_WHOLE_SLIDE,
                transfer_syntax_uid=JPEG,
                study_instance_uid=f"{root}.1",
                series_instance_uid=f"{root}.2",
                file_name=file_name,
                n_bytes=1,
                received_at=NOW,
                slide_id=slide.inserted_primary_key[0],
            )
        )
        assert instance.inserted_primary_key is not None
        create_job(
            connection,
            key=key,
            slide_id=slide.inserted_primary_key[0],
            predecessor_key=None,
            instance_ids=[instance.inserted_primary_key[0]],
            bundle="brightness",
            genes=["G"],
            destinations=["archive"],
            priority=50,
            now=NOW,
        )
    return key
