"""Virtual spatial transcriptomics for DICOM pathology. For Research Use Only."""

__version__ = "0.1.0"
