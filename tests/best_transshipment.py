"""Reactive transshipment as well as can be, which the greedy one is measured by."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linprog
from torch import Tensor

from marl_inv.network import TransferNetwork


def best_transshipment(
    network: TransferNetwork, level: Float[Tensor, "K N B"], reserve: Float[Tensor, "K N B"] | None = None
) -> Tensor:
    """The plan that saves most, by linear programming (HiGHS), product by product and without limits of
    lanes: (K, X, B), float64."""
    lanes = network.reactive
    origin, destination = lanes.origin.cpu().numpy(), lanes.destination.cpu().numpy()
    warehouses, ways = level.shape[1], np.arange(len(origin))
    leaving, entering = np.zeros((warehouses, len(ways))), np.zeros((warehouses, len(ways)))
    leaving[origin, ways], entering[destination, ways] = 1, 1
    levels = level.detach().double().cpu().numpy()
    kept = np.zeros_like(levels) if reserve is None else reserve.detach().double().cpu().numpy()
    plan = np.zeros((level.shape[0], len(ways), level.shape[-1]))
    for k, _, b in np.ndindex(level.shape[0], 1, level.shape[-1]):
        surplus = (np.maximum(levels[k, :, b], 0) - kept[k, :, b]).clip(0)
        saving = lanes.saving[k, :, 0].double().cpu().numpy()
        bounds = np.concatenate([surplus, np.maximum(-levels[k, :, b], 0)])
        solved = linprog(
            -saving, A_ub=np.concatenate([leaving, entering]), b_ub=bounds, bounds=(0, None), method="highs"
        )
        plan[k, :, b] = solved.x
    return torch.from_numpy(plan)
