"""A slide's header and a result, made by hand."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from pydicom.dataset import Dataset

from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.expression import ExpressionTable, Gene, GeneStatus, PanelGene
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing, SlidePlane
from vst_dicom.domain.result import BundleIdentity, Hotspot, SlideResult
from vst_dicom.domain.signature import PanelSignature, ScoredGene, Scoring, SignatureScore
from vst_dicom.domain.tiles import TileGrid, TileQuality

MakeSource = Callable[..., SourceSlide]
MakeResult = Callable[..., SlideResult]


_OFTEN_MISSING = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "Manufacturer",
    "OpticalPathSequence",
    "ContainerIdentifier",
    "SpecimenDescriptionSequence",
    "PositionReferenceIndicator",
    "ImagedVolumeDepth",
    "SpecificCharacterSet",
)


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _specimen() -> Dataset:
    item = Dataset()
    item.SpecimenIdentifier = "S26-1-A"
    item.SpecimenUID = "2.25.1001"
    item.IssuerOfTheSpecimenIdentifierSequence = []
    item.SpecimenPreparationSequence = []
    return item


def _header(size: MatrixSize, plane: SlidePlane) -> Dataset:
    """Header of a one-frame whole slide image that dciodvfy accepts."""
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    header.SOPInstanceUID, header.StudyInstanceUID, header.SeriesInstanceUID = "2.25.11", "2.25.12", "2.25.13"
    header.FrameOfReferenceUID, header.PositionReferenceIndicator = "2.25.14", "SLIDE_CORNER"
    header.PatientName, header.PatientID = "Müller^Änne", "P-1"
    header.PatientBirthDate, header.PatientSex = "19500102", "F"
    header.StudyDate, header.StudyTime, header.StudyID = "20260101", "101112", "7"
    header.AccessionNumber, header.ReferringPhysicianName, header.StudyDescription = "A-1", "Doe^Jane", "Breast"
    header.Modality, header.SeriesNumber, header.InstanceNumber = "SM", 1, 1
    header.Manufacturer, header.ManufacturerModelName = "Scanner Works", "One"
    header.DeviceSerialNumber, header.SoftwareVersions = "s1", "1.0"
    header.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    header.ContentDate = header.AcquisitionDate = "20260101"
    header.ContentTime = header.AcquisitionTime = "101112"
    header.AcquisitionDateTime = "20260101101112"
    header.AcquisitionContextSequence = []
    header.VolumetricProperties = "VOLUME"
    header.BurnedInAnnotation, header.SpecimenLabelInImage, header.FocusMethod = "NO", "NO", "AUTO"
    header.ExtendedDepthOfField = "NO"
    header.LossyImageCompression = "00"
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PlanarConfiguration = 3, "RGB", 0
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 8, 8, 7, 0
    header.Rows, header.Columns, header.NumberOfFrames = size.n_rows, size.n_columns, 1
    header.TotalPixelMatrixRows, header.TotalPixelMatrixColumns = size.n_rows, size.n_columns
    header.TotalPixelMatrixFocalPlanes = 1
    header.ImagedVolumeWidth = size.n_columns * plane.spacing.column_mm
    header.ImagedVolumeHeight = size.n_rows * plane.spacing.row_mm
    header.ImagedVolumeDepth = 4.0
    header.ImageOrientationSlide = list(plane.orientation)
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = plane.origin_mm[:2]
    header.TotalPixelMatrixOriginSequence = [origin]
    header.DimensionOrganizationType = "TILED_FULL"
    organization = Dataset()
    organization.DimensionOrganizationUID = "2.25.15"
    header.DimensionOrganizationSequence = [organization]
    header.ContainerIdentifier = "S26-1-A-1"
    header.IssuerOfTheContainerIdentifierSequence = []
    header.ContainerTypeCodeSequence = [_code("433466003", "SCT", "Microscope slide")]
    header.SpecimenDescriptionSequence = [_specimen()]
    optical_path = Dataset()
    optical_path.OpticalPathIdentifier = "1"
    optical_path.IlluminationTypeCodeSequence = [_code("111744", "DCM", "Brightfield illumination")]
    optical_path.IlluminationColorCodeSequence = [_code("414298005", "SCT", "Full Spectrum")]
    optical_path.ICCProfile = b"\0" * 128
    header.OpticalPathSequence, header.NumberOfOpticalPaths = [optical_path], 1
    measures, frame_type, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [plane.spacing.row_mm, plane.spacing.column_mm]
    measures.SliceThickness = 0.004
    frame_type.FrameType = header.ImageType
    identification = Dataset()
    identification.OpticalPathIdentifier = "1"
    shared.PixelMeasuresSequence = [measures]
    shared.WholeSlideMicroscopyImageFrameTypeSequence = [frame_type]
    shared.OpticalPathIdentificationSequence = [identification]
    header.SharedFunctionalGroupsSequence = [shared]
    return header


@pytest.fixture(scope="session")
def make_source() -> MakeSource:
    """Make a slide; its pixel matrix lies askew on the glass unless told otherwise."""

    def make(
        size: MatrixSize | None = None,
        spacing: PixelSpacing | None = None,
        origin_mm: tuple[float, float, float] = (20.5, 41.25, 0.0),
        orientation: tuple[float, float, float, float, float, float] = (0, -1, 0, -1, 0, 0),
    ) -> SourceSlide:
        size = size or MatrixSize(501, 703)
        plane = SlidePlane(origin_mm, orientation, spacing or PixelSpacing(0.0005, 0.0004))
        return SourceSlide((_header(size, plane),), size, plane, "0" * 64)

    return make


@pytest.fixture
def silent_source(make_source: MakeSource) -> SourceSlide:
    """Make a slide that leaves out all it can, as converters do."""
    source = make_source()
    for keyword in _OFTEN_MISSING:
        delattr(source.header, keyword)
    del source.header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness
    return source


def _everything(result: SlideResult) -> SlideResult:
    """Add classes, intervals, signatures, Gi*, distances, masked tissue and a hotspot of another gene."""
    n, n_genes = result.expression.values.shape
    classes = np.arange(n, dtype=np.int8) % 3
    masked = np.argwhere(~result.grid.mask)[:2].astype(np.int32)
    gene = result.expression.genes[-1]
    second = replace(
        result.hotspots[0], number=2, gene=gene, interval=(-0.25, 0.25), tissue_class=1, tiles=np.array([1])
    )
    shown = PanelSignature(
        "tis", "T-cell-inflamed profile", Scoring.MEAN_Z, "Someone 2020", "Not a test of response.", 18,
        (ScoredGene(gene.gene, 1.0, 0.5, 0.2),), GeneStatus.EXPLORATORY, "held up", 0.5, (0.1, 0.7), "section", 6, 0.3,
    )  # fmt: skip
    counts = replace(shown, signature_id="a-longer-name-of-it", scoring=Scoring.GEOMETRIC_MEAN, note="")
    hidden = replace(shown, signature_id="hid", status=GeneStatus.HIDDEN, held_out_r=None, held_out_interval=None)
    scores = np.linspace(-1, 1, n, dtype=np.float32)
    half_width = np.linspace(0.1, 0.4, n * n_genes, dtype=np.float32).reshape(n, n_genes)
    ranked = replace(result.expression.genes[1], ranks_only=True)
    genes = (result.expression.genes[0], ranked, *result.expression.genes[2:])
    return replace(
        result,
        expression=ExpressionTable(genes, result.expression.values),
        hotspots=(*result.hotspots, second),
        signatures=(SignatureScore(shown, scores), SignatureScore(counts, scores + 2), SignatureScore(hidden, None)),
        tissue_class=classes,
        gi_star=np.where(np.arange(n)[:, None] % 4 == 0, np.nan, half_width * 9).astype(np.float32),
        distance=np.linspace(0.1, 1, n, dtype=np.float32),
        half_width=half_width,
        interval_note="Intervals hold for 9 of 10 patients.",
        masked_cells=masked,
    )


@pytest.fixture(scope="session")
def make_result() -> MakeResult:
    """Make a result on a grid of the given size; every second cell of the first rows has a tile."""

    def make(
        values: np.ndarray | None = None,
        size: MatrixSize | None = None,
        tile_size: MatrixSize | None = None,
        genes: tuple[Gene, ...] | None = None,
        with_hotspots: bool = True,
        everything: bool = False,
    ) -> SlideResult:
        size, tile_size = size or MatrixSize(5, 7), tile_size or MatrixSize(101, 103)
        cells = np.argwhere(np.add.outer(np.arange(size.n_rows), np.arange(size.n_columns)) % 2 == 0).astype(np.int32)
        grid = TileGrid(tile_size, size, cells)
        genes = genes or (Gene("ERBB2", "HGNC:3430"), Gene("ESR1", "HGNC:3467"), Gene("LOC1"))
        if values is None:
            values = np.linspace(0, 3, len(grid) * len(genes)).reshape(len(grid), len(genes))
        panel = tuple(
            PanelGene(gene, GeneStatus.SUPPORTED, "held up", 0.5 - 0.1 * i, (0.2, 0.7), "patient", 8, 0.4 - 0.1 * i)
            for i, gene in enumerate(genes)
        )
        values = np.asarray(values, dtype=np.float32)
        n = len(grid)
        quality = TileQuality(
            np.full(n, 0.75, np.float32), np.ones(n, np.float32), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        )
        width, height = tile_size.n_columns, tile_size.n_rows
        square = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
        hotspot = Hotspot(
            number=1,
            gene=panel[0],
            tiles=np.array([0]),
            z=7.5,
            threshold=5.25,
            mean=float(values[0, 0]),
            interval=None,
            class_mean=-0.5,
            area_mm2=0.0026,
            tissue_class=None,
            masked_nearby=0.25,
            outlines_px=(square,),
        )
        result = SlideResult(
            key="k" * 64,
            created=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            grid=grid,
            quality=quality,
            expression=ExpressionTable(panel, values),
            hotspots=(hotspot,) if with_hotspots else (),
            bundle=BundleIdentity("her2st-lite", "1.0.0", "ab" * 32, "EfficientNet-lite0 and ridge, her2st"),
            parameters={"level": "0"},
            warnings=("demonstration only",),
        )
        return _everything(result) if everything else result

    return make
