"""Classical policies, one readable file each. `BASELINES` maps a name to a class; every one is made by `Class.of(problem)`."""

from marl_inv.baselines.order_up_to import OrderUpTo
from marl_inv.baselines.random_requests import RandomRequests

BASELINES = {"random": RandomRequests, "order_up_to": OrderUpTo}
