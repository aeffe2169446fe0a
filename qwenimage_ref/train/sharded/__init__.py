"""Training over several processes, by PyTorch's own engine: each holds a share of every weight."""
