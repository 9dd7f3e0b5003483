"""PyTorch's `torch.utils.model_zoo`, whose one function is `hub`'s: it says that nothing is
downloaded."""

from minigrad.hub import load_state_dict_from_url as load_url

__all__ = ["load_url"]
