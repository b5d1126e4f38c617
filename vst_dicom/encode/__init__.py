"""Results as DICOM objects and as exports, all stating the same values."""
