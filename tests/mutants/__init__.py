"""Faults planted one at a time in the numerics, and whether the closest tests notice: ``make mutants``."""
