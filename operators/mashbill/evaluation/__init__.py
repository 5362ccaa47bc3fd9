"""Measuring the final models: bits per byte, whether their export is right, what they write."""
