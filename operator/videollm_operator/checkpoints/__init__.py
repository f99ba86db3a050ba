"""From a checkpoint's own files (config.json, safetensors headers) to its model's numbers."""
