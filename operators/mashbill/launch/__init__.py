"""Starting processes: one way for worker pools, plain processes and torchrun. It knows no stage."""
