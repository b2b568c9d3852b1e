"""Precedents and receptive fields, from the formulas that are really in a file."""
