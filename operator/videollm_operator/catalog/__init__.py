"""Models, GPU SKUs and engine versions as data, and the loaders that check them."""
