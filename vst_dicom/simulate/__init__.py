"""Procedural H&E slides with a known truth: the demo's and the tests' input."""
