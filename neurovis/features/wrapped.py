"""A model of a library behind the plain call that feature spaces make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


class Wrapped(nn.Module):
    """A model called in another way than by itself.

    Parameters
    ----------
    model : torch.nn.Module
        Its layers are ``model.<name>`` here.
    call : callable
        ``call(model, *args, **kwargs)`` to a tensor.
    """

    def __init__(self, model: nn.Module, call: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.call = model, call

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What ``call`` makes of the model and the inputs."""
        return self.call(self.model, *args, **kwargs)
