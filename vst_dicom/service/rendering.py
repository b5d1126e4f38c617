"""Pictures of studies, series, instances and frames, a few at a time (PS3.18 10.4.1.1.3 and 10.4.1.1.4)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Final, TypeVar

from anyio import CapacityLimiter, to_thread
from cachetools import LRUCache, cached
from starlette.exceptions import HTTPException

from vst_dicom.dicom.whole_slide import VL_WHOLE_SLIDE
from vst_dicom.domain.errors import InputError, ResourceError
from vst_dicom.domain.wording import RESEARCH_USE_ONLY
from vst_dicom.ledger.catalog import CatalogInstance, Place, Wanted, list_instances, list_series
from vst_dicom.service.archive import Archive
from vst_dicom.service.frame_pictures import FramePictures, not_renderable
from vst_dicom.service.picture_encoding import cut, encode, scale
from vst_dicom.service.query import SUMMARY_TAGS
from vst_dicom.service.render_parameters import Rendering
from vst_dicom.service.slide_pictures import SlidePictures

_OPEN_SLIDES: Final = 16
_OPEN_FRAMES: Final = 64
_AT_ONCE: Final = 2
_MOST_WAITING: Final = 64
_MOST_LEVELS: Final = 500
_MOST_SERIES: Final = 50
_COLUMNS: Final = "00480006"

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a picture shows.

    Parameters
    ----------
    instance
        The image.
    is_slide
        Whether it is a level of a slide, of which a picture is made as a whole.
    others
        Further images of its series, which may be smaller levels.
    """

    instance: CatalogInstance
    is_slide: bool = False
    others: tuple[Place, ...] = ()

    @property
    def name(self) -> str:
        """What its entity tag is derived from: the picture changes when levels come."""
        places = [self.instance.place, *self.others]
        return " ".join(f"{place.job_key}/{place.file_name}" for place in places)


class Renderer:
    """Makes pictures.

    Parameters
    ----------
    archive
        What is shown.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._room = CapacityLimiter(_AT_ONCE)
        self._n_asked = 0
        self._slides = cached(LRUCache[object, SlidePictures](_OPEN_SLIDES), lock=Lock())(self._open_slide)
        self._frames = cached(LRUCache[object, FramePictures](_OPEN_FRAMES), lock=Lock())(self._open_frames)

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Do something that costs time beside the event loop, when it is its turn.

        Raises
        ------
        ResourceError
            If too many wait already.
        """
        if self._n_asked >= _AT_ONCE + _MOST_WAITING:
            raise ResourceError("too many pictures are asked for at once; ask again in a few seconds")
        self._n_asked += 1
        try:
            return await to_thread.run_sync(work, limiter=self._room)
        finally:
            self._n_asked -= 1

    def subject(self, instance: CatalogInstance) -> Subject:
        """Find what a picture of an instance is made from."""
        if instance.sop_class_uid != VL_WHOLE_SLIDE:
            return Subject(instance)
        found = self._images(instance)
        return Subject(instance, True, tuple(one.place for one in found if one.place != instance.place))

    def subjects(self, wanted: Wanted) -> list[Subject]:
        """Find what a study or series shows: of each series of slides the largest level, else its only instance.

        Raises
        ------
        MissingInputError
            If there is no such study or series.
        """
        next(self._archive.find_all(wanted))
        with self._archive.connect() as connection:
            found = list_series(connection, wanted, limit=_MOST_SERIES)
        return [self._of_series(one.study_instance_uid, one.series_instance_uid) for one in found]

    def first(self, wanted: Wanted) -> Subject:
        """Find what stands for a study or series; raises as `subjects` does."""
        return self.subjects(wanted)[0]

    def draw(self, subject: Subject, how: Rendering, media_type: str, *, first_frame: bool = False) -> bytes:
        """Make a picture of an instance.

        Parameters
        ----------
        subject
            What to show.
        how, media_type
            As asked for.
        first_frame
            Whether the first frame may stand for an image of several that has no levels.

        Raises
        ------
        MissingInputError, DamagedInstanceError, UsageError, HTTPException
            If it has no picture, see `FramePictures` and `SlidePictures`.
        """
        if not subject.is_slide:
            pictures = self._frames(subject.instance.place)
            if pictures.n_frames > 1 and not first_frame:
                raise not_renderable(f"it has {pictures.n_frames} frames; ask for them, by …/frames/1/rendered")
            return self.draw_frame(subject.instance, 1, how, media_type)
        slide = self._slides(subject.instance.place, subject.others)
        region = how.region_of(slide.size)
        size = how.size_of(region)
        picture = scale(slide.paint(region, size), size, region, smooth=True)
        profile = slide.icc_profile if how.with_profile else None
        return encode(picture, media_type, how.quality, icc_profile=profile, comment="")

    def draw_all(self, subjects: Sequence[Subject], how: Rendering, media_type: str) -> Iterator[bytes]:
        """Make a picture of each; what has none is left out where there are others.

        Raises
        ------
        HTTPException
            406 if none has one.
        """
        n_drawn = 0
        for subject in subjects:
            try:
                yield self.draw(subject, how, media_type)
            except (InputError, HTTPException):
                if len(subjects) == 1:
                    raise
                continue
            n_drawn += 1
        if not n_drawn:
            raise not_renderable("no instance of it is an image of a slide, or of a single frame")

    def check_frame(self, instance: CatalogInstance, number: int) -> None:
        """Refuse a frame that does not exist, or an image that is not rendered; raises as `draw_frame` does."""
        self._frames(instance.place)
        self._archive.open_frames(instance.place).check(number)

    def draw_frame(self, instance: CatalogInstance, number: int, how: Rendering, media_type: str) -> bytes:
        """Make a picture of a frame, from 1; raises as `draw` does."""
        frames = self._frames(instance.place)
        region = how.region_of(frames.size)
        painted = cut(frames.paint(number, how.window), region)
        picture = scale(painted, how.size_of(region), region, smooth=frames.is_color)
        comment = "" if frames.is_color else RESEARCH_USE_ONLY
        profile = frames.icc_profile if how.with_profile else None
        return encode(picture, media_type, how.quality, icc_profile=profile, comment=comment)

    def _images(self, instance: CatalogInstance) -> list[CatalogInstance]:
        wanted = Wanted((instance.study_instance_uid,), (instance.series_instance_uid,), (), (VL_WHOLE_SLIDE,))
        with self._archive.connect() as connection:
            return list_instances(connection, wanted, limit=_MOST_LEVELS)

    def _of_series(self, study_instance_uid: str, series_instance_uid: str) -> Subject:
        wanted = Wanted((study_instance_uid,), (series_instance_uid,))
        with self._archive.connect() as connection:
            found = list_instances(connection, wanted, limit=_MOST_LEVELS)
        slides = [one for one in found if one.sop_class_uid == VL_WHOLE_SLIDE]
        return self.subject(max(slides, key=self._n_columns) if slides else found[0])

    def _n_columns(self, instance: CatalogInstance) -> int:
        stated = self._archive.attributes(instance.place, SUMMARY_TAGS).get(_COLUMNS, {}).get("Value", [0])
        return int(stated[0])

    def _open_slide(self, place: Place, others: tuple[Place, ...]) -> SlidePictures:
        readable = []
        for other in others:
            with suppress(InputError):
                readable.append(self._archive.open(other).path)
        return SlidePictures(self._archive.open(place).path, readable)

    def _open_frames(self, place: Place) -> FramePictures:
        return FramePictures(self._archive.open(place), self._archive.open_frames(place))
