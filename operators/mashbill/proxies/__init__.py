"""Small models: training one, sweeping many, and the family that bootstraps quality scores."""
