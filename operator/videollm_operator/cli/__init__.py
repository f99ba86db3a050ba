"""The `videollm` command."""
