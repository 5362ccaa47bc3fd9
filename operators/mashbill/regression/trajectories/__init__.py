"""Regression over loss curves: runs in phases, what a phase makes of its start, and the best schedule."""
