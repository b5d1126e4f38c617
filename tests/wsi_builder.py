"""Build small DICOM whole slide images for tests: any tiling, encoding and fault, pixels known by the test."""

import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, generate_uid

from vst_dicom.dicom.source import Slide

VL_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
IMPLICIT = "1.2.840.10008.1.2"
NATIVE = "1.2.840.10008.1.2.1"
RLE = "1.2.840.10008.1.2.5"
JPEG = "1.2.840.10008.1.2.4.50"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
HTJ2K = "1.2.840.10008.1.2.4.201"
JPEG_XL = "1.2.840.10008.1.2.4.110"

Image = NDArray[np.uint8]


def paint(n_rows: int, n_columns: int, seed: int = 0) -> Image:
    """Smooth colors that differ everywhere: JPEG keeps them, and no two tiles are alike."""
    y, x = np.mgrid[0:n_rows, 0:n_columns]
    phase = seed * 0.7
    channels = [
        127 + 90 * np.sin(x / 31 + phase) * np.cos(y / 43),
        127 + 90 * np.cos(x / 53 + y / 37 + phase),
        127 + 90 * np.sin(y / 29 - x / 71 + phase),
    ]
    return np.stack(channels, axis=-1).astype(np.uint8)


def halve(image: Image) -> Image:
    """Next level by averaging 2 x 2 pixels; an odd last row or column is left out."""
    n_rows, n_columns = image.shape[0] // 2, image.shape[1] // 2
    blocks = image[: n_rows * 2, : n_columns * 2].reshape(n_rows, 2, n_columns, 2, 3)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)


def encode(frame: Image, transfer_syntax: str) -> bytes:
    """Encode one frame."""
    if transfer_syntax == JPEG:
        return bytes(simplejpeg.encode_jpeg(frame, quality=98, colorspace="RGB", colorsubsampling="444"))
    if transfer_syntax == JPEG_LS:
        return bytes(imagecodecs.jpegls_encode(frame))
    if transfer_syntax in (JPEG_2000, JPEG_2000_LOSSLESS):
        return bytes(imagecodecs.jpeg2k_encode(frame, level=0, codecformat="j2k", reversible=True))
    if transfer_syntax == HTJ2K:
        return bytes(imagecodecs.htj2k_encode(frame))
    if transfer_syntax == JPEG_XL:
        return bytes(imagecodecs.jpegxl_encode(frame, lossless=True))
    if transfer_syntax == RLE:
        segments = [imagecodecs.packbits_encode(frame[..., channel].tobytes()) for channel in range(3)]
        segments = [segment + b"\0" * (len(segment) % 2) for segment in segments]
        offsets = [64, 64 + len(segments[0]), 64 + len(segments[0]) + len(segments[1])]
        return struct.pack("<16I", 3, *offsets, *[0] * 12) + b"".join(segments)
    return frame.tobytes()


@dataclass
class Wsi:
    """What to build. Everything has a default, so that a test names only what it is about.

    `images` holds one image per optical path and focal plane, in the order paths then planes.
    """

    images: Sequence[Image]
    tile: tuple[int, int] = (32, 32)
    transfer_syntax: str = NATIVE
    sparse: bool = False
    skip: frozenset[int] = frozenset()
    """Frames that a sparse image leaves out, by number."""
    shift: tuple[int, int] = (0, 0)
    """Rows and columns by which the frames of a sparse image leave the grid."""
    spacing_mm: tuple[float, float] | None = (0.0005, 0.0005)
    origin_mm: tuple[float, float] | None = (20.0, 40.0)
    paths: Sequence[str] = ("1",)
    illuminations: Sequence[str] = ()
    """DCM code of each optical path; brightfield where none is given."""
    n_planes: int = 1
    plane_step_mm: float = 0.002
    first_plane_um: float = 0.0
    flavor: str = "VOLUME"
    photometric: str = ""
    planar: int = 0
    series: str = "1.2.826.0.1.3680043.8.498.2"
    study: str = "1.2.826.0.1.3680043.8.498.1"
    container: str = "S1"
    change: Callable[[Dataset], None] | None = None
    """Called with the data set before it is written."""
    change_frames: Callable[[list[bytes]], list[bytes]] | None = None
    """Called with the encoded frames."""
    offsets: str = "basic"
    """``basic``, ``extended`` or ``none``."""
    fragments_per_frame: int = 1
    uid: str = field(default_factory=generate_uid)


def write_wsi(path: Path, wsi: Wsi) -> Path:
    """Write one instance."""
    frames, places = _cut(wsi)
    return _write(path, wsi, frames, places, {})


def write_concatenation(folder: Path, wsi: Wsi, part_frames: Sequence[int], *, state_total: bool = True) -> list[Path]:
    """Write one image in several parts."""
    frames, places = _cut(wsi)
    assert sum(part_frames) == len(frames)
    concatenation = generate_uid()
    paths = []
    start = 0
    for number, count in enumerate(part_frames, start=1):
        attributes: dict[str, object] = {
            "ConcatenationUID": concatenation,
            "SOPInstanceUIDOfConcatenationSource": wsi.uid,
            "InConcatenationNumber": number,
            "ConcatenationFrameOffsetNumber": start,
        }
        if state_total:
            attributes["InConcatenationTotalNumber"] = len(part_frames)
        part = Wsi(**{**wsi.__dict__, "uid": generate_uid()})
        stop = start + count
        paths.append(_write(folder / f"part-{number}.dcm", part, frames[start:stop], places[start:stop], attributes))
        start = stop
    return paths


def write_pyramid(folder: Path, n_levels: int, base: Image, **settings: object) -> list[Path]:
    """Write levels that halve, one instance each."""
    paths = []
    image = base
    spacing = settings.pop("spacing_mm", (0.0005, 0.0005))
    assert isinstance(spacing, tuple)
    for level in range(n_levels):
        wsi = Wsi([image], spacing_mm=(spacing[0] * 2**level, spacing[1] * 2**level), **settings)  # type: ignore[arg-type]
        paths.append(write_wsi(folder / f"level-{level}.dcm", wsi))
        image = halve(image)
    return paths


def remove(*keywords: str) -> Callable[[Dataset], None]:
    """Change of a data set that takes attributes away."""

    def change(dataset: Dataset) -> None:
        for keyword in keywords:
            delattr(dataset, keyword)

    return change


def assign(keyword: str, value: object) -> Callable[[Dataset], None]:
    """Change of a data set that sets an attribute."""
    return lambda dataset: setattr(dataset, keyword, value)


def assemble(slide: Slide, level: int = 0) -> Image:
    """Total pixel matrix of a level, glass where no frame is."""
    geometry = slide.levels[level]
    rows, columns = geometry.frame_size.n_rows, geometry.frame_size.n_columns
    grid = geometry.frame_grid
    matrix = np.full((grid.n_rows * rows, grid.n_columns * columns, 3), 255, dtype=np.uint8)
    for row in range(grid.n_rows):
        for column in range(grid.n_columns):
            frame = slide.read_frame(level, row, column)
            if frame is not None:
                matrix[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns] = frame
    return matrix[: geometry.size.n_rows, : geometry.size.n_columns]


def _cut(wsi: Wsi) -> tuple[list[bytes], list[tuple[int, int, float, str]]]:
    """Encoded frames in the order of TILED_FULL, and row, column (from 1), z in micrometers and path of each."""
    n_rows, n_columns = wsi.images[0].shape[:2]
    frames, places = [], []
    for number, image in enumerate(wsi.images):
        path, plane = divmod(number, wsi.n_planes)
        z_um = wsi.first_plane_um + plane * wsi.plane_step_mm * 1000
        for row in range(-wsi.shift[0] if wsi.sparse else 0, n_rows, wsi.tile[0]):
            for column in range(-wsi.shift[1] if wsi.sparse else 0, n_columns, wsi.tile[1]):
                top, left = max(row, 0), max(column, 0)
                tile = np.full((*wsi.tile, 3), 255, dtype=np.uint8)
                part = image[top : top + wsi.tile[0], left : left + wsi.tile[1]]
                tile[: part.shape[0], : part.shape[1]] = part
                frames.append(tile)
                places.append((top + 1, left + 1, z_um, wsi.paths[path]))
    keep = [number for number in range(len(frames)) if number not in wsi.skip]
    encoded = []
    for number in keep:
        tile = frames[number]
        if wsi.planar:
            tile = np.ascontiguousarray(tile.transpose(2, 0, 1))
        encoded.append(encode(tile, wsi.transfer_syntax))
    return encoded, [places[number] for number in keep]


def _write(
    path: Path,
    wsi: Wsi,
    frames: list[bytes],
    places: Sequence[tuple[int, int, float, str]],
    attributes: dict[str, object],
) -> Path:
    dataset = _header(wsi, len(frames))
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    if wsi.sparse:
        dataset.PerFrameFunctionalGroupsSequence = DicomSequence([_frame_item(place) for place in places])
    if wsi.change_frames is not None:
        frames = wsi.change_frames(frames)
    if wsi.transfer_syntax in (IMPLICIT, NATIVE):
        data = b"".join(frames)
        dataset.PixelData = data + b"\0" * (len(data) % 2)
        dataset["PixelData"].VR = "OB" if wsi.transfer_syntax == NATIVE else "OW"
    elif wsi.offsets == "extended":
        data, table, lengths = encapsulate_extended(frames)
        dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = data, table, lengths
    else:
        dataset.PixelData = encapsulate(frames, wsi.fragments_per_frame, has_bot=wsi.offsets == "basic")
    if wsi.transfer_syntax not in (IMPLICIT, NATIVE):
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    if wsi.change is not None:
        wsi.change(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    # pydicom cannot write JPEG XL: written under another UID of the same length, then renamed
    written_as = HTJ2K if wsi.transfer_syntax == JPEG_XL else wsi.transfer_syntax
    dataset.file_meta.TransferSyntaxUID = UID(written_as)
    dcmwrite(buffer, dataset, enforce_file_format=True)
    path.write_bytes(buffer.getvalue().replace(written_as.encode(), wsi.transfer_syntax.encode(), 1))
    return path


def _header(wsi: Wsi, n_frames: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(VL_WHOLE_SLIDE)
    meta.MediaStorageSOPInstanceUID = UID(wsi.uid)
    meta.TransferSyntaxUID = UID(wsi.transfer_syntax)
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = VL_WHOLE_SLIDE, wsi.uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = wsi.study, wsi.series
    dataset.FrameOfReferenceUID = wsi.series + ".1"
    dataset.Modality, dataset.Manufacturer = "SM", ""
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "PID-4711"
    dataset.ContainerIdentifier = wsi.container
    dataset.ImageType = ["ORIGINAL", "PRIMARY", wsi.flavor, "NONE"]
    dataset.SpecimenLabelInImage = "NO" if wsi.flavor == "VOLUME" else "YES"
    dataset.NumberOfFrames = n_frames
    dataset.Rows, dataset.Columns = wsi.tile
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = wsi.images[0].shape[:2]
    dataset.TotalPixelMatrixFocalPlanes = wsi.n_planes
    dataset.NumberOfOpticalPaths = len(wsi.paths)
    dataset.SamplesPerPixel, dataset.PixelRepresentation, dataset.PlanarConfiguration = 3, 0, wsi.planar
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PhotometricInterpretation = wsi.photometric or ("YBR_FULL_422" if wsi.transfer_syntax == JPEG else "RGB")
    dataset.DimensionOrganizationType = "TILED_SPARSE" if wsi.sparse else "TILED_FULL"
    dataset.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    if wsi.origin_mm is not None:
        origin = Dataset()
        origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = wsi.origin_mm
        if wsi.first_plane_um:
            origin.ZOffsetInSlideCoordinateSystem = wsi.first_plane_um
        dataset.TotalPixelMatrixOriginSequence = DicomSequence([origin])
    measures = Dataset()
    if wsi.spacing_mm is not None:
        measures.PixelSpacing = list(wsi.spacing_mm)
    if wsi.n_planes > 1:
        measures.SpacingBetweenSlices = wsi.plane_step_mm
    shared = Dataset()
    shared.PixelMeasuresSequence = DicomSequence([measures])
    dataset.SharedFunctionalGroupsSequence = DicomSequence([shared])
    illuminations = wsi.illuminations or ["111744"] * len(wsi.paths)
    dataset.OpticalPathSequence = DicomSequence(
        [_optical_path(name, code) for name, code in zip(wsi.paths, illuminations, strict=True)]
    )
    return dataset


def _optical_path(name: str, illumination: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = illumination, "DCM", "illumination"
    item = Dataset()
    item.OpticalPathIdentifier = name
    item.IlluminationTypeCodeSequence = DicomSequence([code])
    return item


def _frame_item(place: tuple[int, int, float, str]) -> Dataset:
    row, column, z_um, path = place
    position = Dataset()
    position.RowPositionInTotalImagePixelMatrix = row
    position.ColumnPositionInTotalImagePixelMatrix = column
    position.XOffsetInSlideCoordinateSystem = 0
    position.YOffsetInSlideCoordinateSystem = 0
    position.ZOffsetInSlideCoordinateSystem = z_um
    identification = Dataset()
    identification.OpticalPathIdentifier = path
    item = Dataset()
    item.PlanePositionSlideSequence = DicomSequence([position])
    item.OpticalPathIdentificationSequence = DicomSequence([identification])
    return item
