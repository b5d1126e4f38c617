"""What a new slide says about itself: patient, specimen, stain."""

from dataclasses import dataclass, field
from datetime import date, datetime

SIMULATED_MODEL = "simulated slide"
"""Manufacturer's Model Name (0008,1090) of slides that this product painted: results on them say so."""


@dataclass(frozen=True, slots=True)
class SlideDescription:
    """Attributes that a converted or simulated slide gets (PS3.3 A.32.8).

    Empty text means unknown: type 2 attributes stay empty, identifiers are derived from the content.

    Parameters
    ----------
    patient_id, patient_name, patient_birth_date, patient_sex
        (0010,0020), (0010,0010) as ``Family^Given``, (0010,0030), (0010,0040) ``M``, ``F``, ``O`` or empty.
    accession_number, study_id, study_description
        (0008,0050), (0020,0010), (0008,1030).
    study_instance_uid
        (0020,000D); derived from the content when empty.
    container_identifier
        Identifier of the glass (0040,0512).
    specimen_identifier
        Identifier of the tissue on it (0040,0551).
    specimen_description
        (0040,0600).
    anatomy
        Primary anatomic structure, an SCT code and its meaning; None when unknown.
    fixation, embedding
        SCT code and meaning of the preparation steps; None when unknown.
    stained_with_he
        Whether the specimen preparation says hematoxylin and eosin.
    manufacturer, model_name, device_serial_number, software_versions
        (0008,0070), (0008,1090), (0018,1000), (0018,1020).
    acquired
        When the slide was scanned.
    """

    patient_id: str = ""
    patient_name: str = ""
    patient_birth_date: date | None = None
    patient_sex: str = ""
    accession_number: str = ""
    study_id: str = ""
    study_description: str = ""
    study_instance_uid: str = ""
    container_identifier: str = ""
    specimen_identifier: str = ""
    specimen_description: str = ""
    anatomy: tuple[str, str] | None = None
    fixation: tuple[str, str] | None = None
    embedding: tuple[str, str] | None = None
    stained_with_he: bool = True
    manufacturer: str = "unknown"
    model_name: str = "unknown"
    device_serial_number: str = "unknown"
    software_versions: tuple[str, ...] = field(default=("unknown",))
    acquired: datetime | None = None
