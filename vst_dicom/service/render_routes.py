"""Routes of pictures: rendered and thumbnail resources (PS3.18 10.4.1.1.3, 10.4.1.1.4)."""

from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from starlette.exceptions import HTTPException

from vst_dicom import __version__
from vst_dicom.ledger.catalog import Wanted
from vst_dicom.service.addresses import DICOMWEB, Accept, FrameList, InstanceUid, SeriesUid, Served, StudyUid
from vst_dicom.service.media_types import negotiate_picture
from vst_dicom.service.multipart import Part, boundary_of, content_type, join_parts
from vst_dicom.service.picture_encoding import MEDIA_TYPES
from vst_dicom.service.render_parameters import Rendered, Rendering, Small
from vst_dicom.service.rendering import Renderer, Subject
from vst_dicom.service.representations import IMMUTABLE, entity_tag, is_known, warning
from vst_dicom.service.route_responses import PICTURES, THUMBNAIL

router: Final = APIRouter(prefix=DICOMWEB, tags=["DICOMweb: pictures"], default_response_class=Response)

_MOST_FRAMES: Final = 64
_REVALIDATED: Final = "private, no-cache"
"""Of what changes when further levels or results come: kept, and asked for each time whether it still holds."""


async def renderer_of(request: Request) -> Renderer:
    """Find what makes pictures."""
    renderer: Renderer = request.app.state.renderer
    return renderer


Pictures = Annotated[Renderer, Depends(renderer_of)]


@router.get("/studies/{study}/rendered", responses=PICTURES)
async def render_study(
    request: Request, study: StudyUid, pictures: Pictures, how: Rendered, accept: Accept
) -> Response:
    """Show each slide of a study at its largest level, and results of one frame."""
    return await pictures.run(partial(_render_all, request, pictures, Wanted((study,)), how, accept))


@router.get("/studies/{study}/series/{series}/rendered", responses=PICTURES)
async def render_series(
    request: Request, study: StudyUid, series: SeriesUid, pictures: Pictures, how: Rendered, accept: Accept
) -> Response:
    """Show a slide at its largest level, or a result of one frame."""
    return await pictures.run(partial(_render_all, request, pictures, Wanted((study,), (series,)), how, accept))


@router.get("/studies/{study}/series/{series}/instances/{instance}/rendered", responses=PICTURES)
async def render_instance(
    request: Request,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
    archive: Served,
    pictures: Pictures,
    how: Rendered,
    accept: Accept,
) -> Response:
    """Show a level of a slide as a whole, or a result of one frame."""

    def render() -> Response:
        subject = pictures.subject(archive.find(study, series, instance))
        return _respond(request, [subject], how, accept, lambda media_type: [pictures.draw(subject, how, media_type)])

    return await pictures.run(render)


@router.get("/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered", responses=PICTURES)
async def render_frames(
    request: Request,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
    frames: FrameList,
    archive: Served,
    pictures: Pictures,
    how: Rendered,
    accept: Accept,
) -> Response:
    """Show frames: of slides as they are, segments in their colors, maps in gray."""
    numbers = [int(number) for number in frames.split(",")]
    if len(numbers) > _MOST_FRAMES:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"at most {_MOST_FRAMES} frames are rendered at once")

    def render() -> Response:
        found = archive.find(study, series, instance)
        for number in numbers:
            pictures.check_frame(found, number)

        def draw(media_type: str) -> Iterable[bytes]:
            return [pictures.draw_frame(found, number, how, media_type) for number in numbers]

        subjects = [Subject(found)] * len(numbers)
        return _respond(request, subjects, how, accept, draw, what=f"frames {frames}", lasts=True)

    return await pictures.run(render)


@router.get("/studies/{study}/thumbnail", responses=THUMBNAIL)
async def show_study(request: Request, study: StudyUid, pictures: Pictures, how: Small, accept: Accept) -> Response:
    """Show the first slide of a study, small."""
    return await pictures.run(partial(_show_first, request, pictures, Wanted((study,)), how, accept))


@router.get("/studies/{study}/series/{series}/thumbnail", responses=THUMBNAIL)
async def show_series(
    request: Request, study: StudyUid, series: SeriesUid, pictures: Pictures, how: Small, accept: Accept
) -> Response:
    """Show a series, small."""
    return await pictures.run(partial(_show_first, request, pictures, Wanted((study,), (series,)), how, accept))


@router.get("/studies/{study}/series/{series}/instances/{instance}/thumbnail", responses=THUMBNAIL)
async def show_instance(
    request: Request,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
    archive: Served,
    pictures: Pictures,
    how: Small,
    accept: Accept,
) -> Response:
    """Show an instance, small; of a result its first frame."""
    return await pictures.run(
        lambda: _show(request, pictures, pictures.subject(archive.find(study, series, instance)), how, accept)
    )


@router.get("/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/thumbnail", responses=THUMBNAIL)
async def show_frame(
    request: Request,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
    frames: FrameList,
    archive: Served,
    pictures: Pictures,
    how: Small,
    accept: Accept,
) -> Response:
    """Show a frame, small; of several the first."""
    number = int(frames.partition(",")[0])

    def render() -> Response:
        found = archive.find(study, series, instance)
        pictures.check_frame(found, number)
        return _respond(
            request,
            [Subject(found)],
            how,
            accept,
            lambda media_type: [pictures.draw_frame(found, number, how, media_type)],
            what=f"frame {number}",
            lasts=True,
        )

    return await pictures.run(render)


def _render_all(request: Request, pictures: Renderer, wanted: Wanted, how: Rendering, accept: str) -> Response:
    subjects = pictures.subjects(wanted)
    return _respond(request, subjects, how, accept, partial(pictures.draw_all, subjects, how))


def _show_first(request: Request, pictures: Renderer, wanted: Wanted, how: Rendering, accept: str) -> Response:
    return _show(request, pictures, pictures.first(wanted), how, accept)


def _show(request: Request, pictures: Renderer, subject: Subject, how: Rendering, accept: str) -> Response:
    return _respond(
        request,
        [subject],
        how,
        accept,
        lambda media_type: [pictures.draw(subject, how, media_type, first_frame=True)],
    )


def _respond(
    request: Request,
    subjects: list[Subject],
    how: Rendering,
    accept: str,
    draw: Callable[[str], Iterable[bytes]],
    *,
    what: str = "",
    lasts: bool = False,
) -> Response:
    """Send pictures, unless the client has them.

    Parameters
    ----------
    request
        May say so.
    subjects, what, how
        Name what is shown.
    accept
        What the client accepts.
    draw
        Makes the pictures, given their media type.
    lasts
        Whether they never change.
    """
    form = negotiate_picture(accept, MEDIA_TYPES, is_single=len(subjects) == 1)
    named = (*(subject.name for subject in subjects), what, str(how), form.media_type, str(form.multipart), __version__)
    tag = entity_tag(*named)
    headers = {"ETag": tag, "Cache-Control": IMMUTABLE if lasts else _REVALIDATED, "Vary": "Accept"}
    if how.warning:
        headers["Warning"] = warning(how.warning)
    if is_known(request, tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    drawn = draw(form.media_type)
    if not form.multipart:
        (picture,) = drawn
        return Response(picture, media_type=form.media_type, headers=headers)
    boundary = boundary_of(tag)
    body = b"".join(join_parts((Part(form.media_type, [picture]) for picture in drawn), boundary))
    return Response(body, media_type=content_type(form.media_type, boundary), headers=headers)
