"""Sources, and reading them into documents."""
