"""Which attributes belong to patient, study, specimen and equipment, by keyword."""

from typing import Final


def _keywords(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PATIENT: Final = _keywords("""
    PatientName PatientID IssuerOfPatientID IssuerOfPatientIDQualifiersSequence TypeOfPatientID PatientBirthDate
    PatientBirthTime PatientBirthDateInAlternativeCalendar PatientAlternativeCalendar PatientSex
    ReferencedPatientSequence QualityControlSubject OtherPatientIDsSequence OtherPatientNames EthnicGroup
    PatientComments PatientSpeciesDescription PatientSpeciesCodeSequence PatientBreedDescription
    PatientBreedCodeSequence BreedRegistrationSequence ResponsiblePerson ResponsiblePersonRole
    ResponsibleOrganization PatientIdentityRemoved DeidentificationMethod DeidentificationMethodCodeSequence
    ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialProtocolName ClinicalTrialSiteID
    ClinicalTrialSiteName ClinicalTrialSubjectID ClinicalTrialSubjectReadingID
    ClinicalTrialProtocolEthicsCommitteeName ClinicalTrialProtocolEthicsCommitteeApprovalNumber
    """)
"""Patient and Clinical Trial Subject (PS3.3 C.7.1.1, C.7.1.3)."""

STUDY: Final = _keywords("""
    StudyDate StudyTime ReferringPhysicianName ReferringPhysicianIdentificationSequence ConsultingPhysicianName
    ConsultingPhysicianIdentificationSequence StudyID AccessionNumber IssuerOfAccessionNumberSequence
    StudyDescription PhysiciansOfRecord PhysiciansOfRecordIdentificationSequence NameOfPhysiciansReadingStudy
    PhysiciansReadingStudyIdentificationSequence RequestingService RequestingServiceCodeSequence
    ReferencedStudySequence ProcedureCodeSequence ReasonForPerformedProcedureCodeSequence
    AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence PatientAge PatientSize PatientWeight
    PatientBodyMassIndex MedicalAlerts Allergies SmokingStatus PregnancyStatus LastMenstrualDate PatientState
    Occupation AdditionalPatientHistory AdmissionID IssuerOfAdmissionIDSequence ReasonForVisit
    ReasonForVisitCodeSequence ServiceEpisodeID IssuerOfServiceEpisodeIDSequence ServiceEpisodeDescription
    PatientSexNeutered
    ClinicalTrialTimePointID ClinicalTrialTimePointDescription LongitudinalTemporalOffsetFromEvent
    LongitudinalTemporalEventType ConsentForClinicalTrialUseSequence
    """)
"""General Study, Patient Study and Clinical Trial Study (PS3.3 C.7.2.1 to C.7.2.3)."""

TYPE_2: Final = _keywords("""
    PatientName PatientID PatientBirthDate PatientSex
    StudyDate StudyTime ReferringPhysicianName StudyID AccessionNumber
    """)
"""Those of patient and study that must be there and may be empty."""

SPECIMEN: Final = _keywords("""
    ContainerIdentifier IssuerOfTheContainerIdentifierSequence AlternateContainerIdentifierSequence
    ContainerTypeCodeSequence ContainerDescription ContainerComponentSequence SpecimenDescriptionSequence
    """)
"""Specimen (PS3.3 C.7.6.22)."""

SPECIMEN_TYPE_2: Final = _keywords("IssuerOfTheContainerIdentifierSequence ContainerTypeCodeSequence")
"""Those of the container that must be there and may be empty."""

SPECIMEN_DESCRIPTION_TYPE_2: Final = _keywords("IssuerOfTheSpecimenIdentifierSequence SpecimenPreparationSequence")
"""Those of an item of Specimen Description Sequence (0040,0560) that must be there and may be empty."""

EQUIPMENT: Final = _keywords("""
    Manufacturer InstitutionName StationName ManufacturerModelName DeviceSerialNumber SoftwareVersions
    """)
"""What says which scanner made the slide (PS3.3 C.7.5.1)."""
