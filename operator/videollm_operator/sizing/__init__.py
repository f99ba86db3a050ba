"""How much memory a model needs, and which layout of GPUs holds it."""
