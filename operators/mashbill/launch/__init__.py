"""Starting processes: one way for worker pools, plain processes and torchrun."""
