"""The contract: spec and status, conditions and reasons, names, the CRD."""
