"""Mixtures: what they are, how they are planned, and how token batches follow them."""
