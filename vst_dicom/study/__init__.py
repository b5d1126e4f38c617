"""Group instances into slides, decide what happens to each, keep out loops."""
