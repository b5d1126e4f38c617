"""Which stain a header states, in its Specimen module (PS3.3 C.7.6.22, PS3.16 TID 8001 and 8003)."""

import re
from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from vst_dicom.dicom.attributes import read_items, read_text
from vst_dicom.domain.errors import DamagedInstanceError

HE: Final = "he"
"""What `stated_stain` answers for hematoxylin and eosin."""

_PROCESSING_TYPE: Final = frozenset({"111701"})
_STAINING: Final = frozenset({"127790008", "P3-00003"})
_USING_SUBSTANCE: Final = frozenset({"424361007", "G-C350"})

_HEMATOXYLIN: Final = frozenset({"12710003", "C-22968"})
_EOSIN: Final = frozenset({"36879007", "C-22919", "83600004", "C-22920", "1346008", "C-22921"})
_HE_METHOD: Final = frozenset({"104210008", "P3-50495"})
"""Codes of CID 8112 and CID 8130: SCT, and SRT as older writers use."""

_HE_TEXT: Final = re.compile(r"\bH\s?(&|AND|\+|-|/)?\s?E\b|HA?EMATOXYLIN.{1,10}EOSIN|HEMALUM.{1,10}EOSIN")
_NOT_HE_TEXT: Final = re.compile(r"\bIHC\b|\bISH\b|IMMUNO|FLUORESCEN|\bDAPI\b|\bPAS\b|TRICHROME|GIEMSA|SAFFRON|\bHES\b")


def stated_stain(header: Dataset) -> str | None:
    """Say which stain the header of a slide states.

    Codes decide; only where no stain is coded or written in a staining step, the specimen's own descriptions are
    searched for hematoxylin and eosin. Broken or missing sequences count as not stated.

    Returns
    -------
    str or None
        `HE` for hematoxylin and eosin and nothing else; the meanings of the stains for any other; None where the
        header states none.
    """
    stains: list[str] = []
    for specimen in _items(header, "SpecimenDescriptionSequence"):
        stain = _stain_of(specimen)
        if stain is not None:
            stains.append(stain)
    if not stains:
        return None
    others = list(dict.fromkeys(stain for stain in stains if stain != HE))
    return "; ".join(others) if others else HE


def _stain_of(specimen: Dataset) -> str | None:
    substances = list(_substances(specimen))
    if substances:
        kinds = [_kind(code, meaning) for code, meaning in substances]
        if set(kinds) in ({HE}, {"hematoxylin", "eosin"}, {HE, "hematoxylin", "eosin"}):
            return HE
        return ", ".join(dict.fromkeys(meaning or code for code, meaning in substances))
    for keyword in ("SpecimenShortDescription", "SpecimenDetailedDescription"):
        text = _text(specimen, keyword).upper()
        if _HE_TEXT.search(text) and not _NOT_HE_TEXT.search(text):
            return HE
    return None


def _substances(specimen: Dataset) -> Iterator[tuple[str, str]]:
    """Code and meaning of each staining substance; the code is empty for free text."""
    for step in _items(specimen, "SpecimenPreparationSequence"):
        content = _items(step, "SpecimenPreparationStepContentItemSequence")
        types = [_code(item, "ConceptCodeSequence")[0] for item in content if _names(item, _PROCESSING_TYPE)]
        if types and _STAINING.isdisjoint(types):
            continue
        for item in content:
            if not _names(item, _USING_SUBSTANCE):
                continue
            code, meaning = _code(item, "ConceptCodeSequence")
            text = meaning or _text(item, "TextValue")
            if code or text:
                yield code, text


def _kind(code: str, meaning: str) -> str:
    if code in _HE_METHOD:
        return HE
    if code in _HEMATOXYLIN:
        return "hematoxylin"
    if code in _EOSIN:
        return "eosin"
    text = meaning.upper()
    if not code and _HE_TEXT.search(text) and not _NOT_HE_TEXT.search(text):
        return HE
    if not code and text in {"HEMATOXYLIN", "HAEMATOXYLIN", "EOSIN"}:
        return text.lower().replace("ae", "e")
    return "other"


def _names(item: Dataset, codes: frozenset[str]) -> bool:
    return _code(item, "ConceptNameCodeSequence")[0] in codes


def _code(item: Dataset, keyword: str) -> tuple[str, str]:
    for code in _items(item, keyword):
        return _text(code, "CodeValue"), _text(code, "CodeMeaning")
    return "", ""


def _items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    try:
        return read_items(dataset, keyword)
    except DamagedInstanceError:
        return ()


def _text(dataset: Dataset, keyword: str) -> str:
    try:
        return read_text(dataset, keyword)
    except DamagedInstanceError:
        return ""
