"""Storage SCP: negotiation, limits, spool."""
