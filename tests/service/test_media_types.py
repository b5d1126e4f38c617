import pytest
from starlette.exceptions import HTTPException

from vst_dicom.service.media_types import Representation, negotiate, require_type

JPEG = ("image/jpeg", "1.2.840.10008.1.2.4.50")
NATIVE = ("application/octet-stream", "1.2.840.10008.1.2.1")
OHIF = "multipart/related; type=application/octet-stream; transfer-syntax=*"
SLIM = (
    'multipart/related; type="image/jls"; transfer-syntax=1.2.840.10008.1.2.4.80, '
    'multipart/related; type="image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.50, '
    'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1'
)


@pytest.mark.parametrize(
    ("accept", "stored", "chosen"),
    [
        ("", JPEG, ("image/jpeg", True)),
        ("*/*", JPEG, ("image/jpeg", True)),
        ("*/*", NATIVE, ("application/octet-stream", True)),
        (OHIF, JPEG, ("application/octet-stream", True)),
        (OHIF, NATIVE, ("application/octet-stream", True)),
        (SLIM, JPEG, ("image/jpeg", True)),
        (SLIM, NATIVE, ("application/octet-stream", True)),
        ("image/*", JPEG, ("image/jpeg", False)),
        ("MULTIPART/RELATED; TYPE=IMAGE/JPEG", JPEG, ("image/jpeg", True)),
        ("image/png, image/jpeg;q=0.1", JPEG, ("image/jpeg", False)),
        ("image/jpeg;q=0.1, multipart/related; type=image/jpeg;q=0.9", JPEG, ("image/jpeg", True)),
        ("image/jpeg;q=0, */*;q=0.1", NATIVE, ("application/octet-stream", True)),
    ],
)
def test_the_first_range_that_fits_what_is_stored_is_chosen(
    accept: str, stored: tuple[str, str], chosen: tuple[str, bool]
) -> None:
    assert negotiate(accept, *stored, is_single=True) == Representation(*chosen)


@pytest.mark.parametrize(
    ("accept", "stored"),
    [
        ("image/png", JPEG),
        ("image/jpeg;q=0", JPEG),
        ("application/octet-stream", JPEG),
        ("image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.70", JPEG),
        ("image/*", NATIVE),
    ],
)
def test_nothing_is_converted(accept: str, stored: tuple[str, str]) -> None:
    with pytest.raises(HTTPException) as raised:
        negotiate(accept, *stored, is_single=True)

    assert raised.value.status_code == 406


@pytest.mark.parametrize("accept", ["nonsense", "image/jpeg;q=much", "a/b," * 60, "x" * 5000])
def test_an_accept_that_is_not_understood_is_refused(accept: str) -> None:
    with pytest.raises(HTTPException) as raised:
        negotiate(accept, *JPEG, is_single=True)

    assert raised.value.status_code == 400


def test_metadata_are_no_multipart() -> None:
    assert require_type("application/json, */*", "application/dicom+json", "application/json") == "application/json"
    with pytest.raises(HTTPException):
        require_type('multipart/related; type="application/dicom+xml"', "application/dicom+json")
