"""The final model: DeepSpeed under torchrun, checkpoints, forecast, export."""
