"""Counterfactual methods, one file for each paper."""
