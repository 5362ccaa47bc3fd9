"""Filters: which documents, and which of their lines, are not worth training on, each removal with its
reason."""
