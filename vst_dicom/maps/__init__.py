"""Expression maps, hotspots, the summary and the picture."""
