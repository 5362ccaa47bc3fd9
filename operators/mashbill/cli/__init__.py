"""The shell: as thin as the operators."""
