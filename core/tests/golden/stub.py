"""Stand-ins that let the reference's own samplers run on a fixed function and on stored noise."""
import contextlib

import torch
from common import reference


class FixedNet(reference.NullUnet):
    """A net whose output is a fixed function of its input and its time condition."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.self_cond = False

    def forward(self, x, time, **kwargs):
        """The function; every other condition is ignored."""
        return self.function(x, time)

    def forward_with_cond_scale(self, x, time, **kwargs):
        """The same, whatever the guidance."""
        return self.function(x, time)


@contextlib.contextmanager
def stored_noise(tensors):
    """Make torch.randn and torch.randn_like hand out `tensors`, in order; all must be used."""
    left = list(tensors)
    kept = torch.randn, torch.randn_like

    def draw(*args, **kwargs):
        return left.pop(0).clone()

    torch.randn = torch.randn_like = draw
    try:
        yield
    finally:
        torch.randn, torch.randn_like = kept
    assert not left, f"{len(left)} draws were not used"
