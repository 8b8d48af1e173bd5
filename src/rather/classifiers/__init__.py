"""Classifiers: a net of anybody's wrapped, checked, cut into body and head; and a few small architectures."""
