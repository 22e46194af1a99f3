"""A network of one's own: every warehouse from its own facts and the mean of what all say, with one set of
weights (deep sets).

From this folder:
    marl-inv train two_warehouses --model own_model:DeepSet --out runs/sets
    marl-inv compare two_warehouses runs/sets --allow-code
"""

import torch
from torch import nn

import marl_inv


class DeepSet(nn.Module):
    """From features (R, K, N, inputs) to (R, K, N, hidden), for actor and critic: rows, products,
    warehouses."""

    def __init__(self, encoding, settings, inputs):
        super().__init__()
        facts = encoding.warehouse  # (K, N, S): its costs, size, lead time
        self.register_buffer("facts", facts, persistent=False)
        self.own = nn.Linear(inputs + facts.shape[-1], settings.hidden)
        self.heard = nn.Linear(settings.hidden, settings.hidden)

    def forward(self, features):
        facts = self.facts.expand(len(features), -1, -1, -1)
        said = torch.tanh(self.own(torch.cat([features, facts], -1)))
        return said + torch.tanh(self.heard(said.mean(2, keepdim=True)))


if __name__ == "__main__":
    quick = {"decisions": 200_000, "validations": 5, "validation_replications": 256}
    print(marl_inv.train("two_warehouses", model="own_model:DeepSet", algorithm="pathwise", **quick))
