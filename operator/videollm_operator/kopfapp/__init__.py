"""The only place that knows Kopf: start-up, login, watching."""
