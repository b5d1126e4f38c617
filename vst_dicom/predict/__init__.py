"""Model bundles, encoders, heads and the engines that run them."""
