"""UPS-RS: the worklist that other systems fill, follow and perform (PS3.18 11)."""
