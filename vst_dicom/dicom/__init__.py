"""The standard's vocabulary: codes, UIDs, SOP classes, typed attribute reading."""
