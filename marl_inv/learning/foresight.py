"""What makes a critic's work easier in training: values in units of order one, and a look at the demand that
is coming."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from marl_inv.chance.trace import Trace
from marl_inv.episodes.view import View
from marl_inv.models.encoding import LARGEST_FEATURE, Encoding

REMEMBERED = 0.9
"""How much of its running moments an update leaves, once there have been many."""


@dataclass(frozen=True)
class Foresight(Encoding):
    """The actor's features and, after them, the trace's demand from now until an order from now has arrived:
    only for a critic.

    What is beyond the trace looks like its mean. An actor that saw any of this could not be played.
    """

    @classmethod
    def beyond(cls, encoding: Encoding) -> Foresight:
        kept = [field.name for field in fields(encoding) if field.name != "order_levels"]
        return cls(**{name: getattr(encoding, name) for name in kept})

    @property
    def periods(self) -> int:
        return self.network.longest_lead_time + 1

    @property
    def features(self) -> int:
        return super().features + self.periods

    def foresee(self, view: View, trace: Trace) -> Float[Tensor, "B K N F"]:
        """What a critic sees in a period of a trace, or after the last."""
        network, first = self.network, trace.history + view.period
        coming = trace.demand[first : first + self.periods]
        unknown = network.mean_demand.unsqueeze(-1).expand(
            self.periods - len(coming), -1, -1, trace.replications
        )
        scaled = torch.cat([coming, unknown]) / network.size.unsqueeze(-1) - 1
        return torch.cat(
            [self(view), scaled.clamp(-LARGEST_FEATURE, LARGEST_FEATURE).permute(3, 1, 2, 0)], -1
        )
