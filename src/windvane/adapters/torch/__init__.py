"""PyTorch's modules, from TorchScript or torch.export; in the sandbox only."""

from windvane.adapters.torch.module import load_module

__all__ = ["load_module"]
