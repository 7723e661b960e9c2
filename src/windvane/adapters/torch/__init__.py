"""PyTorch's modules, from TorchScript or torch.export; in a runner only."""

from windvane.adapters.torch.module import load_module

__all__ = ["load_module"]
