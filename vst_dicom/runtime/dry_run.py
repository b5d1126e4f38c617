"""What rules would do with the slides that came so far; nothing is written."""

from dataclasses import dataclass

from sqlalchemy import Engine

from vst_dicom.config import Settings
from vst_dicom.ledger.slides import Slide, list_slide_instances, list_slides
from vst_dicom.runtime.considering import Consideration, consider, current_revisions
from vst_dicom.runtime.spooled_headers import SpooledHeaders
from vst_dicom.study.rules import Rules


@dataclass(frozen=True, slots=True)
class DryRun:
    """A slide, where it stands, and where rules would put it.

    Parameters
    ----------
    slide
        As it is.
    found
        As it would be.
    """

    slide: Slide
    found: Consideration

    @property
    def changes(self) -> bool:
        """Whether the rules decide otherwise than was decided."""
        return self.found.state is not self.slide.state


def dry_run(database: Engine, settings: Settings, rules: Rules, limit: int) -> list[DryRun]:
    """Consider the slides with the latest instances again.

    Parameters
    ----------
    database, settings
        Where slides and their files are.
    rules
        To be tried.
    limit
        How many slides at most.
    """
    headers = SpooledHeaders(settings.spool)
    with database.begin() as connection:
        slides = list_slides(connection, limit=limit)
    found = []
    for slide in slides:
        with database.begin() as connection:
            rows = list_slide_instances(connection, slide.id)
        if rows:
            found.append(DryRun(slide, consider(current_revisions(rows), headers, rules)))
    return found
