"""Expression maps, regions, the summary and the picture."""
