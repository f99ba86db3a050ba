"""Runs video language models on Kubernetes: sizes, templates, reports."""

__version__ = "0.1.0"
