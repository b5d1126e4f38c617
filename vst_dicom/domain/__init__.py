"""Values, the error tree and the protocols where stages meet. No input, no output."""
