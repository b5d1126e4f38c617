"""Specimen module: the glass, the tissue on it and how it was prepared (PS3.3 C.7.6.22)."""

from typing import Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from vst_dicom.dicom.codes import Code
from vst_dicom.slide.pyramid import PyramidPlan

HE_STAINS: Final = (
    ("12710003", "hematoxylin stain"),
    ("36879007", "water soluble eosin stain"),
)
"""SCT codes from CID 8112."""

_SPECIMEN_IDENTIFIER: Final = ("121041", "DCM", "Specimen Identifier")
_PROCESSING_TYPE: Final = ("111701", "DCM", "Processing type")
_SPECIMEN_PROCESSING: Final = ("9265001", "SCT", "Specimen processing")
_STAINING: Final = ("127790008", "SCT", "Staining")
_USING_SUBSTANCE: Final = ("424361007", "SCT", "Using substance")
_FIXATIVE: Final = ("430864009", "SCT", "Tissue Fixative")
_EMBEDDING_MEDIUM: Final = ("430863003", "SCT", "Embedding medium")
_MICROSCOPE_SLIDE: Final = ("433466003", "SCT", "Microscope slide")


def code_item(value: str, scheme: str, meaning: str) -> Dataset:
    """One item of a code sequence (PS3.3 8.8)."""
    return Code(value, scheme, meaning).to_item()


def add_specimen(dataset: Dataset, plan: PyramidPlan) -> None:
    """Write the Specimen module of a slide with one specimen."""
    description = plan.description
    container = description.container_identifier or f"SLIDE-{plan.identity[:12].upper()}"
    identifier = description.specimen_identifier or f"{container[:60]}-1"
    dataset.ContainerIdentifier = container
    dataset.IssuerOfTheContainerIdentifierSequence = Sequence()
    dataset.ContainerTypeCodeSequence = Sequence([code_item(*_MICROSCOPE_SLIDE)])

    specimen = Dataset()
    specimen.SpecimenIdentifier = identifier
    specimen.IssuerOfTheSpecimenIdentifierSequence = Sequence()
    specimen.SpecimenUID = plan.slide_uid("specimen")
    if description.specimen_description:
        specimen.SpecimenShortDescription = description.specimen_description
    specimen.SpecimenPreparationSequence = Sequence(
        _step(identifier, kind, content) for kind, content in _preparation(plan)
    )
    if description.anatomy:
        specimen.PrimaryAnatomicStructureSequence = Sequence(
            [code_item(description.anatomy[0], "SCT", description.anatomy[1])]
        )
    dataset.SpecimenDescriptionSequence = Sequence([specimen])


def _preparation(plan: PyramidPlan) -> list[tuple[tuple[str, str, str], list[Dataset]]]:
    """List processing type and content items of each step, in the order of the laboratory."""
    description = plan.description
    steps = []
    for substance, name in ((description.fixation, _FIXATIVE), (description.embedding, _EMBEDDING_MEDIUM)):
        if substance:
            steps.append((_SPECIMEN_PROCESSING, [_code_content(name, (substance[0], "SCT", substance[1]))]))
    if description.stained_with_he:
        stains = [_code_content(_USING_SUBSTANCE, (value, "SCT", meaning)) for value, meaning in HE_STAINS]
        steps.append((_STAINING, stains))
    return steps


def _step(identifier: str, kind: tuple[str, str, str], content: list[Dataset]) -> Dataset:
    """One preparation step, TID 8001."""
    step = Dataset()
    step.SpecimenPreparationStepContentItemSequence = Sequence(
        [_text_content(_SPECIMEN_IDENTIFIER, identifier), _code_content(_PROCESSING_TYPE, kind), *content]
    )
    return step


def _text_content(name: tuple[str, str, str], text: str) -> Dataset:
    item = Dataset()
    item.ValueType = "TEXT"
    item.ConceptNameCodeSequence = Sequence([code_item(*name)])
    item.TextValue = text
    return item


def _code_content(name: tuple[str, str, str], value: tuple[str, str, str]) -> Dataset:
    item = Dataset()
    item.ValueType = "CODE"
    item.ConceptNameCodeSequence = Sequence([code_item(*name)])
    item.ConceptCodeSequence = Sequence([code_item(*value)])
    return item
