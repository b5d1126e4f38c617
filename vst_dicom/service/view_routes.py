"""Routes of the slide view: what there is to see, values of tiles, and frames that browsers cannot read themselves."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from vst_dicom.service.addresses import API
from vst_dicom.service.pyramid import JPEG, encode_jpeg
from vst_dicom.service.representations import NO_STORE, entity_tag, immutable_headers, is_known, not_modified
from vst_dicom.service.slide_views import SlideViews
from vst_dicom.service.view_model import View

router: Final = APIRouter(prefix=f"{API}/results/{{key}}", tags=["Slide view"])

Key = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="Key of the result")]
LayerName = Annotated[
    str, Path(min_length=1, max_length=200, description="Such as gene:ERBB2; cells, masked-cells and tissue-class too")
]
Longest = Annotated[int, Query(ge=16, le=4096, description="Pixels of its longest side")]
Index = Annotated[int, Path(ge=0, le=10_000_000)]


def views_of(request: Request) -> SlideViews:
    """Find the opened results."""
    views: SlideViews = request.app.state.views
    return views


Views = Annotated[SlideViews, Depends(views_of)]

_BINARY: Final = "application/octet-stream"


@router.get("/view")
def describe_view(key: Key, views: Views, response: Response) -> View:
    """Describe a result for looking at it; genes that evidence does not support have a reason and no values."""
    response.headers["Cache-Control"] = NO_STORE
    return views.view(key)


@router.get("/layers/{name}", response_class=Response, responses={200: {"content": {_BINARY: {}}}})
def read_layer(request: Request, key: Key, name: LayerName, views: Views) -> Response:
    """Send one value per tile, little endian, in the order of ``cells``.

    Genes, signatures, half widths and the distance are float32; ``tissue-class`` is uint8; ``cells`` and
    ``masked-cells`` are uint16, grid row and column.
    """
    views.check(key)
    tag = entity_tag(key, "layer", name)
    if is_known(request, tag):
        return not_modified(tag)
    layer = views.values(key)[name]
    data = layer.astype(layer.dtype.newbyteorder("<")).tobytes()
    return Response(data, media_type=_BINARY, headers=immutable_headers(tag))


@router.get("/picture", response_class=Response, responses={200: {"content": {JPEG: {}}}})
def read_picture(request: Request, key: Key, views: Views, longest: Longest | None = None) -> Response:
    """Send a small picture of the whole slide, or a smaller one."""
    views.check(key)
    tag = entity_tag(key, "picture", str(longest))
    if is_known(request, tag):
        return not_modified(tag)
    picture = views.values(key).read_picture()
    return Response(encode_jpeg(picture, longest), media_type=JPEG, headers=immutable_headers(tag))


@router.get("/slide/{level}/{row}/{column}", response_class=Response, responses={200: {"content": {JPEG: {}}}})
def read_decoded_frame(request: Request, key: Key, level: Index, row: Index, column: Index, views: Views) -> Response:
    """Send a frame of the slide as JPEG, whatever its transfer syntax; rows and columns of frames count from 0."""
    views.check(key)
    tag = entity_tag(key, "frame", str(level), str(row), str(column))
    if is_known(request, tag):
        return not_modified(tag)
    return Response(views.pyramid(key).read_jpeg(level, row, column), media_type=JPEG, headers=immutable_headers(tag))
