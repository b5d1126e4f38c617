"""Send results: C-STORE, STOW-RS, storage commitment, notification, retry."""
