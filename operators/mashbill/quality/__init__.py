"""Quality: predictive strength, the fastText classifier and its collapsed scorer, selection."""
