"""Tissue mask, tile grid, frame-major sampler and quality checks."""
