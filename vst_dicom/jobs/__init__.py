"""The thin seam to the durable engine."""
