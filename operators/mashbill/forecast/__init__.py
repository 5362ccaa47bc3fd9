"""Forecasts of the final model from runs of smaller ones: its last loss, its curve, its errors on tasks."""
