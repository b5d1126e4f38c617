"""The main path, one page of code."""
