"""What all result objects share: whose slide it is, what made the result, and from what."""

from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from pydicom.dataset import Dataset

from vst_dicom import __version__
from vst_dicom.dicom import codes
from vst_dicom.dicom.modules import (
    EQUIPMENT,
    PATIENT,
    SPECIMEN,
    SPECIMEN_DESCRIPTION_TYPE_2,
    SPECIMEN_TYPE_2,
    STUDY,
    TYPE_2,
)
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.dicom.uids import derive_device_uid, derive_uid
from vst_dicom.domain.errors import BundleError
from vst_dicom.domain.result import BundleIdentity, SlideResult
from vst_dicom.domain.wording import PRODUCT, RESEARCH_USE_ONLY


@dataclass(frozen=True, slots=True)
class ResultKind:
    """One of the DICOM objects that a slide's result becomes.

    Parameters
    ----------
    name
        Names the object in derived UIDs.
    sop_class_uid
        (0008,0016).
    modality
        (0008,0060), fixed by the object definition.
    series_number
        (0020,0011); high, so that results stand after the images of a study.
    series_description
        (0008,103E).
    series_name
        Names its series in derived UIDs where several objects share one; empty where it stands alone.
    instance_number
        (0020,0013), its place in the series.
    """

    name: str
    sop_class_uid: str
    modality: str
    series_number: int
    series_description: str
    series_name: str = ""
    instance_number: int = 1

    def series_uid(self, source: SourceSlide, result: SlideResult) -> str:
        """Series Instance UID (0020,000E) that the object gets."""
        return result_uid(source, result, self.series_name or self.name, "series")

    def instance_uid(self, source: SourceSlide, result: SlideResult) -> str:
        """SOP Instance UID (0008,0018) that the object gets."""
        return result_uid(source, result, self.name, "instance")


PARAMETRIC_MAP: Final = ResultKind(
    "parametric-map", "1.2.840.10008.5.1.4.1.1.30", "OT", 9001, "Predicted gene expression maps, Research Use Only"
)
SEGMENTATION: Final = ResultKind(
    "segmentation",
    "1.2.840.10008.5.1.4.1.1.66.4",
    "SEG",
    9002,
    "Tissue and high predicted expression, Research Use Only",
)
GENE_SEGMENTATION: Final = ResultKind(
    "gene-segmentation",
    "1.2.840.10008.5.1.4.1.1.66.4",
    "SEG",
    9020,
    "Predicted gene expression for display, Research Use Only",
)
LABEL_MAP: Final = ResultKind(
    "label-map", "1.2.840.10008.5.1.4.1.1.66.7", "SEG", 9021, "Tissue classes as label map, Research Use Only"
)
ANNOTATIONS: Final = ResultKind(
    "annotations", "1.2.840.10008.5.1.4.1.1.91.1", "ANN", 9003, "Tiles by predicted expression, Research Use Only"
)
REPORT: Final = ResultKind(
    "report", "1.2.840.10008.5.1.4.1.1.88.34", "SR", 9004, "Predicted gene expression report, Research Use Only"
)


def require_shown_genes(result: SlideResult) -> None:
    """Refuse a result without values, and one with values that may not leave the product.

    Raises
    ------
    BundleError
        If no gene of the bundle may be shown.
    ValueError
        If a gene that may not be shown is among the values or hotspots.
    """
    written = (*result.expression.genes, *(hotspot.gene for hotspot in result.hotspots))
    hidden = sorted({panel_gene.gene.symbol for panel_gene in written if not panel_gene.shown})
    if hidden:
        msg = f"genes that evidence does not support must not be written: {', '.join(hidden)}"
        raise ValueError(msg)
    if not result.expression.genes:
        msg = (
            f"bundle {result.bundle.bundle_id} {result.bundle.version} has no gene that held-out evidence supports, "
            "so there is nothing to map; choose another bundle or panel"
        )
        raise BundleError(msg)


def plain(text: str, limit: int = codes.MAX_LONG_STRING) -> str:
    r"""Make text fit any Specific Character Set (0008,0005) and any text value: ASCII, no ``\``, not too long."""
    spelled = text.replace("µ", "u").replace("μ", "u").replace("×", "x").replace("²", "2")
    return spelled.encode("ascii", "replace").decode().replace("\\", "/")[:limit].strip()


def result_uid(source: SourceSlide, result: SlideResult, *parts: str) -> str:
    """Name part of a result: the same slide instance, model and parameters always give the same UID.

    The slide's own identifiers take part, so that one glass stored in two studies never gets one result twice.
    """
    header = source.header
    return derive_uid(result.key, str(header.StudyInstanceUID), str(header.SOPInstanceUID), *parts)


def device_uid(bundle: BundleIdentity) -> str:
    """Name the model; other weights are another device (IHE AIR 6.5.3.1)."""
    return derive_device_uid(bundle.sha256)


def _describe_series(kind: ResultKind, result: SlideResult) -> str:
    """Series Description (0008,103E); a title is cut where the word "Coarse" needs its place, never what follows it."""
    if not result.coarse:
        return kind.series_description
    title, comma, end = kind.series_description.rpartition(",")
    begin = "Coarse: "
    return begin + title[: codes.MAX_LONG_STRING - len(begin) - len(comma) - len(end)] + comma + end


def start_object(source: SourceSlide, result: SlideResult, kind: ResultKind) -> Dataset:
    """Begin a result object with everything that does not depend on its kind of content.

    Patient, study, frame of reference, container and specimen are those of the slide. What the slide does not say
    is left empty where the standard asks for the attribute, and left out elsewhere.
    """
    dataset = Dataset()
    _copy(source.header, dataset, ("SpecificCharacterSet", "TimezoneOffsetFromUTC", *PATIENT, *STUDY))
    for keyword in TYPE_2:
        if keyword not in dataset:
            setattr(dataset, keyword, None)
    if source.header.get("ContainerIdentifier"):
        _copy_specimen(source.header, dataset)

    dataset.StudyInstanceUID = source.study_instance_uid
    dataset.SeriesInstanceUID = kind.series_uid(source, result)
    dataset.SeriesNumber = kind.series_number
    dataset.SeriesDescription = _describe_series(kind, result)
    dataset.Modality = kind.modality

    dataset.SOPClassUID = kind.sop_class_uid
    dataset.SOPInstanceUID = kind.instance_uid(source, result)
    dataset.InstanceNumber = kind.instance_number
    made = _local_time(source.header, result.created)
    dataset.InstanceCreationDate = dataset.ContentDate = dataset.SeriesDate = made.strftime("%Y%m%d")
    dataset.InstanceCreationTime = dataset.ContentTime = dataset.SeriesTime = made.strftime("%H%M%S")
    dataset.CodingSchemeIdentificationSequence = codes.coding_schemes()

    dataset.Manufacturer = PRODUCT
    dataset.ManufacturerModelName = PRODUCT
    dataset.DeviceSerialNumber = result.bundle.sha256[: codes.MAX_LONG_STRING]
    dataset.SoftwareVersions = _versions(result.bundle)
    dataset.ContributingEquipmentSequence = _contributing_equipment(source.header, result)
    return dataset


def place_in_frame_of_reference(dataset: Dataset, source: SourceSlide) -> None:
    """Put an object in the slide's frame of reference (PS3.3 C.7.4.1)."""
    dataset.FrameOfReferenceUID = source.frame_of_reference_uid
    dataset.PositionReferenceIndicator = source.header.get("PositionReferenceIndicator")


def describe_content(dataset: Dataset, label: str) -> None:
    """Add the Content Identification macro (PS3.3 10.9)."""
    dataset.ContentLabel = label
    dataset.ContentDescription = RESEARCH_USE_ONLY
    dataset.ContentCreatorName = None


def algorithm_identification(bundle: BundleIdentity) -> Dataset:
    """Name the model as the algorithm (PS3.3 10.16)."""
    item = Dataset()
    item.AlgorithmFamilyCodeSequence = [codes.ARTIFICIAL_INTELLIGENCE.to_item()]
    item.AlgorithmName = plain(bundle.bundle_id)
    item.AlgorithmVersion = plain(bundle.version)
    item.AlgorithmParameters = f"sha256={bundle.sha256}"
    item.AlgorithmSource = PRODUCT
    return item


def reference(instance: Dataset) -> Dataset:
    """Refer to an instance (PS3.3 10.8)."""
    item = Dataset()
    item.ReferencedSOPClassUID = str(instance.SOPClassUID)
    item.ReferencedSOPInstanceUID = str(instance.SOPInstanceUID)
    return item


def referenced_series(source: SourceSlide) -> Dataset:
    """Refer to all parts of the slide's base level by series (PS3.3 C.12.2)."""
    item = Dataset()
    item.SeriesInstanceUID = source.series_instance_uid
    item.ReferencedInstanceSequence = [reference(instance) for instance in source.instances]
    return item


def derivation(source: SourceSlide, how: codes.Code) -> Dataset:
    """Say that frames were derived from the slide's base level (PS3.3 C.7.6.16.2.6)."""
    item = Dataset()
    item.DerivationCodeSequence = [how.to_item()]
    item.SourceImageSequence = []
    for instance in source.instances:
        image = reference(instance)
        image.PurposeOfReferenceCodeSequence = [codes.SOURCE_IMAGE.to_item()]
        item.SourceImageSequence.append(image)
    return item


def leave_laterality_unknown(dataset: Dataset) -> None:
    """Add an empty Laterality (0020,0060), which is asked of series that do not describe the specimen they show."""
    if not dataset.get("SpecimenDescriptionSequence"):
        dataset.Laterality = None


def copy_lossy_compression(dataset: Dataset, source: SourceSlide) -> None:
    """Carry on that the slide was compressed with loss, which a derived image may not forget (PS3.3 C.7.6.1.1.5)."""
    header = source.header
    dataset.LossyImageCompression = header.get("LossyImageCompression") or "00"
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if dataset.LossyImageCompression == "01" and header.get(keyword):
            _copy(header, dataset, (keyword,))


def _copy(header: Dataset, dataset: Dataset, keywords: tuple[str, ...]) -> None:
    for keyword in keywords:
        if keyword in header:
            dataset.add(deepcopy(header[keyword]))


def _copy_specimen(header: Dataset, dataset: Dataset) -> None:
    """Copy container and specimens; issuers and types that the slide forgot become empty, as the standard asks."""
    _copy(header, dataset, SPECIMEN)
    for keyword in SPECIMEN_TYPE_2:
        if keyword not in dataset:
            setattr(dataset, keyword, [])
    for item in dataset.get("SpecimenDescriptionSequence") or ():
        for keyword in SPECIMEN_DESCRIPTION_TYPE_2:
            if keyword not in item:
                setattr(item, keyword, [])


def _versions(bundle: BundleIdentity) -> list[str]:
    return [__version__, plain(f"{bundle.bundle_id} {bundle.version}")]


def _contributing_equipment(header: Dataset, result: SlideResult) -> list[Dataset]:
    items = []
    if header.get("Manufacturer"):
        scanner = Dataset()
        _copy(header, scanner, tuple(keyword for keyword in EQUIPMENT if header.get(keyword)))
        scanner.PurposeOfReferenceCodeSequence = [codes.ACQUISITION_EQUIPMENT.to_item()]
        items.append(scanner)
    bundle = result.bundle
    model = Dataset()
    model.PurposeOfReferenceCodeSequence = [codes.PROCESSING_EQUIPMENT.to_item()]
    model.Manufacturer = PRODUCT
    model.ManufacturerModelName = plain(bundle.bundle_id)
    model.SoftwareVersions = [plain(bundle.version), __version__]
    model.DeviceSerialNumber = bundle.sha256[: codes.MAX_LONG_STRING]
    model.DeviceUID = device_uid(bundle)
    model.ContributionDateTime = result.created.astimezone(UTC).strftime("%Y%m%d%H%M%S+0000")
    computed = f" Computed {result.computed}." if result.computed else ""
    model.ContributionDescription = plain(f"{bundle.description}. {RESEARCH_USE_ONLY}{computed}", 1024)
    items.append(model)
    return items


def _local_time(header: Dataset, created: datetime) -> datetime:
    """Take over the slide's Timezone Offset From UTC (0008,0201), which holds for all times of an object."""
    offset = str(header.get("TimezoneOffsetFromUTC") or "+0000")
    sign = -1 if offset.startswith("-") else 1
    return created.astimezone(timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5]))))
