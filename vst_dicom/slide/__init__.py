"""Open a whole slide image, from DICOM or from a vendor's file, and write one."""
