"""HTTP: DICOMweb and REST over what the ledger knows."""
