"""Classifiers: a user's net wrapped, checked, cut into body and head; and a few small architectures."""
