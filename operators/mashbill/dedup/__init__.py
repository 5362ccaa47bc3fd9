"""Exact and near duplicates, across domains."""
