"""The standard's tables of objects and attributes, for the validator of pydicom, without a download.

``dicom-validator`` reads an edition of the standard from its publisher; where that cannot be reached, highdicom's
tables, made from the standard too, serve instead. They have types of attributes and usage of modules, but no
conditions and no functional group macros: so nothing is asked that is asked only under a condition, and items of
functional groups are passed over.
"""

import json
from importlib.resources import files
from typing import Any

from dicom_validator.validator.dicom_info import DicomInfo
from dicom_validator.validator.error_handler import ValidationResultHandler
from dicom_validator.validator.iod_validator import IODValidator
from dicom_validator.validator.validation_result import ValidationResult
from pydicom import Dataset, config
from pydicom.datadict import keyword_for_tag, tag_for_keyword

_FUNCTIONAL_GROUPS = {"SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"}


class Silent(ValidationResultHandler):
    """Says nothing: the test looks at the result."""

    def handle_validation_start(self, result: ValidationResult) -> None:
        pass

    def handle_validation_result(self, result: ValidationResult) -> None:
        pass


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files("highdicom._standard").joinpath(f"{name}.json").read_text())
    return found


def _module(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """Nest attributes, which are listed flat, each with the sequences that it lies in."""
    module: dict[str, Any] = {}
    for attribute in attributes:
        tag = tag_for_keyword(attribute["keyword"])
        if tag is None or _FUNCTIONAL_GROUPS & set(attribute["path"]):
            continue
        inner = module
        for keyword in attribute["path"]:
            inner = inner.setdefault(_tag(keyword), {"type": "3"}).setdefault("items", {})
        inner.setdefault(_tag(attribute["keyword"]), {})["type"] = attribute["type"]
    return module


def _tag(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def read_tables() -> DicomInfo:
    """Put the tables together as the validator wants them."""
    modules = {name: _module(attributes) for name, attributes in _read("module_attribute_map").items()}
    iods = {
        name: {module["key"]: {"ref": module["key"], "use": module["usage"]} for module in listed}
        for name, listed in _read("iod_module_map").items()
    }
    by_class = {
        uid: {"title": name, "modules": iods[name], "group_macros": {}}
        for uid, name in _read("sop_class_iod_map").items()
        if name in iods
    }
    return DicomInfo({}, by_class, modules)


def findings_of(dataset: Dataset, tables: DicomInfo) -> list[str]:
    """What the validator says about an object: one line per attribute, with module and what is wrong."""
    mode = config.settings.reading_validation_mode
    try:
        result = IODValidator(dataset, tables, error_handler=Silent()).validate()
    finally:
        config.settings.reading_validation_mode = mode
    lines = []
    for module, errors in result.module_errors.items():
        for tag, error in errors.items():
            path = "/".join(keyword_for_tag(part) or str(part) for part in (*(tag.parents or ()), tag.tag))
            lines.append(f"{path}: {error.code.name} ({module})")
    return lines if lines or result.status.name == "Passed" else [result.status.name]
