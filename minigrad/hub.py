"""PyTorch's `torch.hub`, for scripts that import it and then do without: nothing is downloaded."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["download_url_to_file", "load", "load_state_dict_from_url"]


def load_state_dict_from_url(url: str, *args: Any, **options: Any) -> NoReturn:
    """Refused: `url` is to be downloaded by other means.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError(
        f"hub: nothing is downloaded, so not {url!r} either: download it by other means, and read "
        "it with minigrad.load, which says how to convert PyTorch's files; or leave out what asks "
        "for trained weights, as pretrained=True does"
    )


load = download_url_to_file = load_state_dict_from_url
