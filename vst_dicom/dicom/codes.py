"""Codes of the standard's dictionaries and of our own, and how a gene is coded.

``99VST`` is a private coding scheme (PS3.16 8.2: private designators begin with ``99``); what it needs beyond the
standard's dictionaries stands here. HGNC is a scheme registered with HL7, so its symbolic name may serve as
designator (PS3.16 8.1).
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from vst_dicom.domain.expression import Gene
from vst_dicom.domain.signature import PanelSignature, Scoring
from vst_dicom.domain.tissue import name_class
from vst_dicom.domain.wording import RESEARCH_USE_ONLY, UNIT

MAX_CODE_VALUE: Final = 16
"""Longest Code Value (0008,0100), a short string; anything longer is a Long Code Value (0008,0119)."""

MAX_LONG_STRING: Final = 64
"""Longest value of a long string (PS3.5 6.2), such as Code Meaning (0008,0104)."""


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.3 8.8).

    Parameters
    ----------
    value
        Code Value (0008,0100), or Long Code Value (0008,0119) when longer than 16 characters.
    scheme
        Coding Scheme Designator (0008,0102).
    meaning
        Code Meaning (0008,0104).
    """

    value: str
    scheme: str
    meaning: str

    def to_item(self) -> Dataset:
        """Write it as an item of a code sequence."""
        item = Dataset()
        if len(self.value) <= MAX_CODE_VALUE:
            item.CodeValue = self.value
        else:
            item.LongCodeValue = self.value
        item.CodingSchemeDesignator = self.scheme
        item.CodeMeaning = self.meaning[:MAX_LONG_STRING]
        return item


def content_item(name: Code, value: Code) -> Dataset:
    """Write a name and its coded value as a content item (PS3.3 10.2)."""
    item = Dataset()
    item.ValueType = "CODE"
    item.ConceptNameCodeSequence = [name.to_item()]
    item.ConceptCodeSequence = [value.to_item()]
    return item


OWN_SCHEME: Final = "99VST"

PREDICTED_EXPRESSION: Final = Code("vst-0001", OWN_SCHEME, "Predicted mRNA expression (image-derived)")
INFERRED_FROM_MORPHOLOGY: Final = Code("vst-0002", OWN_SCHEME, "Inferred from H&E morphology")
GENE_SYMBOL: Final = Code("vst-0003", OWN_SCHEME, "Gene symbol without HGNC identifier")
PERCENTILE_95: Final = Code("vst-0004", OWN_SCHEME, "95th percentile")
INTERVAL_HALF_WIDTH: Final = Code("vst-0005", OWN_SCHEME, "Half width of the interval of predicted expression")
SIGNATURE_SCORE: Final = Code("vst-0007", OWN_SCHEME, "Predicted score of a gene signature (image-derived)")
GENE_SIGNATURE: Final = Code("vst-0008", OWN_SCHEME, "Gene signature")
LOCAL_GI_STAR: Final = Code("vst-0009", OWN_SCHEME, "Gi* of predicted expression against similar tissue")
TRAINING_DISTANCE: Final = Code("vst-0010", OWN_SCHEME, "Distance to the training tissue, 1 at its limit")
HELD_OUT_CORRELATION: Final = Code("vst-0100", OWN_SCHEME, "Held-out correlation with measured expression")
HELD_OUT_UNIT: Final = Code("vst-0101", OWN_SCHEME, "Unit held out")
HELD_OUT_PATIENT: Final = Code("vst-0102", OWN_SCHEME, "Patients held out")
HELD_OUT_SECTION: Final = Code("vst-0103", OWN_SCHEME, "Sections held out")
NUMBER_HELD_OUT: Final = Code("vst-0104", OWN_SCHEME, "Number of units held out")
HELD_OUT_LOWER: Final = Code("vst-0106", OWN_SCHEME, "Lower limit of its 95 % interval")
HELD_OUT_UPPER: Final = Code("vst-0107", OWN_SCHEME, "Upper limit of its 95 % interval")
DEPTH_ADJUSTED_CORRELATION: Final = Code("vst-0105", OWN_SCHEME, "Held-out correlation adjusted for depth")
EVIDENCE: Final = Code("vst-0110", OWN_SCHEME, "Evidence for prediction")
EVIDENCE_SUPPORTED: Final = Code("vst-0111", OWN_SCHEME, "Supported by patients kept apart from training")
EVIDENCE_EXPLORATORY: Final = Code("vst-0112", OWN_SCHEME, "Exploratory: too few patients to judge")
READING: Final = Code("vst-0120", OWN_SCHEME, "How values may be read")
ORDER_ONLY: Final = Code("vst-0121", OWN_SCHEME, "Only by their order: held-out differences were off in size")
HIGH_EXPRESSION_REGION: Final = Code("vst-0200", OWN_SCHEME, "Region of high predicted expression")
TILE_IN_RANGE: Final = Code("vst-0201", OWN_SCHEME, "Tile with predicted expression in a range")
NUMBER_OF_TILES: Final = Code("vst-0203", OWN_SCHEME, "Number of tiles")
GI_STAR: Final = Code("vst-0204", OWN_SCHEME, "Highest Gi* of the region")
GI_STAR_THRESHOLD: Final = Code("vst-0205", OWN_SCHEME, "Gi* that a hotspot of this slide exceeds")
SIMILAR_TISSUE_MEAN: Final = Code("vst-0206", OWN_SCHEME, "Mean predicted expression of similar tissue")
MEAN_LOWER: Final = Code("vst-0207", OWN_SCHEME, "Lower limit of the interval of the mean")
MEAN_UPPER: Final = Code("vst-0208", OWN_SCHEME, "Upper limit of the interval of the mean")
MASKED_NEARBY: Final = Code("vst-0209", OWN_SCHEME, "Fraction of nearby tissue masked as out of distribution")
TISSUE_CLASS: Final = Code("vst-0210", OWN_SCHEME, "Tissue class by appearance")
COLORED_BY_EXPRESSION: Final = Code("vst-0211", OWN_SCHEME, "Colored by predicted mRNA expression")
GENES_OVER_ALL_TISSUE: Final = Code("vst-0300", OWN_SCHEME, "Predicted expression over all tissue")
GENE_OVER_ALL_TISSUE: Final = Code("vst-0301", OWN_SCHEME, "Predicted expression of a gene over all tissue")
PARAMETER: Final = Code("vst-0302", OWN_SCHEME, "Parameter")
WARNING: Final = Code("vst-0303", OWN_SCHEME, "Warning")
SIGNATURES_OVER_ALL_TISSUE: Final = Code("vst-0310", OWN_SCHEME, "Gene signatures over all tissue")
SIGNATURE_OVER_ALL_TISSUE: Final = Code("vst-0311", OWN_SCHEME, "A gene signature over all tissue")
USABLE_GENES: Final = Code("vst-0312", OWN_SCHEME, "Number of genes used")
LISTED_GENES: Final = Code("vst-0313", OWN_SCHEME, "Number of genes of the published list")
PUBLICATION: Final = Code("vst-0314", OWN_SCHEME, "Published in")
TISSUE_OF_SLIDE: Final = Code("vst-0320", OWN_SCHEME, "Tissue of the slide")
MASKED_TILES: Final = Code("vst-0321", OWN_SCHEME, "Number of tiles without a prediction to be trusted")
PREDICT_EXPRESSION: Final = Code("vst-0400", OWN_SCHEME, "Predict gene expression from an H&E slide")
"""Scheduled Workitem Code of what this product does."""

BUNDLE_TO_USE: Final = Code("vst-0401", OWN_SCHEME, "Model bundle")
GENES_TO_PREDICT: Final = Code("vst-0402", OWN_SCHEME, "Genes to predict")
INTENDED_USE: Final = Code("vst-0900", OWN_SCHEME, "Intended use")
RESEARCH_USE: Final = Code("vst-0901", OWN_SCHEME, RESEARCH_USE_ONLY)

QUANTITY: Final = Code("246205007", "SCT", "Quantity")
MEASUREMENT_METHOD: Final = Code("370129005", "SCT", "Measurement Method")
DERIVATION: Final = Code("121401", "DCM", "Derivation")
MEASUREMENT_UNCERTAINTY: Final = Code("371884006", "SCT", "+/-, range of measurement uncertainty")
Z_SCORE: Final = Code("113071", "DCM", "Z-score")
GENE_STUDIED: Final = Code("48018-6", "LN", "Gene studied [ID]")
UNIT_OF_EXPRESSION: Final = Code("1", "UCUM", UNIT)
"""Dimensionless; the meaning names the transform, since UCUM has no logarithm of counts."""

NO_UNITS: Final = Code("1", "UCUM", "no units")
PER_TEN_THOUSAND: Final = Code("10*-4", "UCUM", Scoring.GEOMETRIC_MEAN.unit)
SQUARE_MILLIMETER: Final = Code("mm2", "UCUM", "mm2")
AREA: Final = Code("42798000", "SCT", "Area")
MEAN: Final = Code("373098007", "SCT", "Mean")
MEDIAN: Final = Code("373099004", "SCT", "Median")
TISSUE: Final = Code("85756007", "SCT", "Tissue")
SPATIAL_CONCEPT: Final = Code("309825002", "SCT", "Spatial and Relational Concept")
LIGHT_MICROSCOPY: Final = Code("104157003", "SCT", "Light microscopy")
ARTIFICIAL_INTELLIGENCE: Final = Code("123110", "DCM", "Artificial Intelligence")
IMAGING_MEASUREMENT_REPORT: Final = Code("126000", "DCM", "Imaging Measurement Report")
IMAGING_MEASUREMENTS: Final = Code("126010", "DCM", "Imaging Measurements")
MEASUREMENT_GROUP: Final = Code("125007", "DCM", "Measurement Group")
LANGUAGE: Final = Code("121049", "DCM", "Language of Content Item and Descendants")
AMERICAN_ENGLISH: Final = Code("en-US", "RFC5646", "English (United States)")
PROCEDURE_REPORTED: Final = Code("121058", "DCM", "Procedure reported")
OBSERVER_TYPE: Final = Code("121005", "DCM", "Observer Type")
DEVICE: Final = Code("121007", "DCM", "Device")
OBSERVER_UID: Final = Code("121012", "DCM", "Device Observer UID")
OBSERVER_NAME: Final = Code("121013", "DCM", "Device Observer Name")
OBSERVER_MANUFACTURER: Final = Code("121014", "DCM", "Device Observer Manufacturer")
OBSERVER_MODEL: Final = Code("121015", "DCM", "Device Observer Model Name")
OBSERVER_SERIAL_NUMBER: Final = Code("121016", "DCM", "Device Observer Serial Number")
SUBJECT_CLASS: Final = Code("121024", "DCM", "Subject Class")
SPECIMEN: Final = Code("121027", "DCM", "Specimen")
SPECIMEN_UID: Final = Code("121039", "DCM", "Specimen UID")
SPECIMEN_IDENTIFIER: Final = Code("121041", "DCM", "Specimen Identifier")
CONTAINER_IDENTIFIER: Final = Code("111700", "DCM", "Specimen Container Identifier")
TRACKING_IDENTIFIER: Final = Code("112039", "DCM", "Tracking Identifier")
TRACKING_UID: Final = Code("112040", "DCM", "Tracking Unique Identifier")
FINDING: Final = Code("121071", "DCM", "Finding")
IMAGE_REGION: Final = Code("111030", "DCM", "Image Region")
SOURCE_OF_MEASUREMENT: Final = Code("121112", "DCM", "Source of Measurement")
ALGORITHM_NAME: Final = Code("111001", "DCM", "Algorithm Name")
ALGORITHM_VERSION: Final = Code("111003", "DCM", "Algorithm Version")
ALGORITHM_PARAMETERS: Final = Code("111002", "DCM", "Algorithm Parameters")
COMMENT: Final = Code("121106", "DCM", "Comment")
QUALITATIVE_EVALUATIONS: Final = Code("C0034375", "UMLS", "Qualitative Evaluations")
SEGMENTATION: Final = Code("113076", "DCM", "Segmentation")
SOURCE_IMAGE: Final = Code("121322", "DCM", "Source image for image processing operation")
BRIGHTFIELD: Final = Code("111744", "DCM", "Brightfield illumination")
FULL_SPECTRUM: Final = Code("414298005", "SCT", "Full Spectrum")
ACQUISITION_EQUIPMENT: Final = Code("109101", "DCM", "Acquisition Equipment")
PROCESSING_EQUIPMENT: Final = Code("109102", "DCM", "Processing Equipment")


def tissue_class_code(tissue_class: int | None) -> Code:
    """Code what tissue looks like; None stands for tissue that was not classified."""
    digits = "0" if tissue_class is None else str(tissue_class + 1)
    return Code(f"{TISSUE_CLASS.value}.{digits}", OWN_SCHEME, name_class(tissue_class).capitalize())


def gene_code(gene: Gene) -> Code:
    """Code a gene: by HGNC where its identifier is known, else by a private code that is its symbol."""
    return Code(gene.hgnc_id, "HGNC", gene.symbol) if gene.hgnc_id else Code(gene.symbol, OWN_SCHEME, gene.symbol)


def gene_concept(gene: Gene) -> Code:
    """Name what `gene_code` is: the gene studied, or a symbol that no registry vouches for."""
    return GENE_STUDIED if gene.hgnc_id else GENE_SYMBOL


def for_gene(concept: Code, gene: Gene, meaning: str) -> Code:
    """Narrow one of our concepts to one gene, for readers that show a single code.

    The code value is the concept's, then the number of the HGNC identifier, or where there is none the first hex
    digits of a hash of the symbol.

    Parameters
    ----------
    concept
        One of the concepts of our own scheme.
    gene
        Which gene.
    meaning
        What people read, such as ``High predicted ERBB2 expression``.
    """
    digits = gene.hgnc_id.rpartition(":")[2] if gene.hgnc_id else hashlib.sha256(gene.symbol.encode()).hexdigest()
    return Code(f"{concept.value}.{digits}"[:MAX_CODE_VALUE], concept.scheme, meaning)


def expression_of(gene: Gene) -> Code:
    """Name the predicted expression of one gene as a quantity."""
    return for_gene(PREDICTED_EXPRESSION, gene, f"Predicted {gene.symbol} mRNA expression")


def signature_code(signature: PanelSignature) -> Code:
    """Code a signature by its id, which no registry knows."""
    return Code(signature.signature_id, OWN_SCHEME, signature.name)


def score_unit(scoring: Scoring) -> Code:
    """Code the unit of a signature's score; where it has no dimension, the meaning says what it is."""
    return PER_TEN_THOUSAND if scoring is Scoring.GEOMETRIC_MEAN else Code("1", "UCUM", scoring.unit)


def coding_schemes() -> list[Dataset]:
    """Identify the schemes that PS3.16 does not know, for Coding Scheme Identification Sequence (0008,0110)."""
    hgnc, own = Dataset(), Dataset()
    hgnc.CodingSchemeDesignator = "HGNC"
    hgnc.CodingSchemeRegistry = "HL7"
    hgnc.CodingSchemeUID = "2.16.840.1.113883.6.281"
    hgnc.CodingSchemeName = "HUGO Gene Nomenclature Committee"
    own.CodingSchemeDesignator = OWN_SCHEME
    own.CodingSchemeName = "vst_dicom"
    own.CodingSchemeResponsibleOrganization = "vst_dicom"
    return [hgnc, own]
