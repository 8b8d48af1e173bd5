"""Nets that methods need beside the classifier: what each kind must do, and how trained ones are kept."""
