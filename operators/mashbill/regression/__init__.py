"""From mixtures and losses to a choice: regressors, their validation, intervals."""
