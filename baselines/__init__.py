"""Classical policies, one readable file each. `BASELINES` maps a name to a class; every one is made by
`Class.of(problem)`."""

from marl_inv.baselines.balancing import LPBalancing, ThresholdBalancing
from marl_inv.baselines.echelon import EchelonBaseStock, EqualFractile
from marl_inv.baselines.following import FollowingOrderUpTo
from marl_inv.baselines.just_in_time import JustInTime
from marl_inv.baselines.myopic import Myopic
from marl_inv.baselines.order_up_to import CappedOrderUpTo, OrderUpTo
from marl_inv.baselines.promotions import PromotionCalendar
from marl_inv.baselines.random_requests import RandomRequests
from marl_inv.baselines.reorder_point import ConstantOrder, FixedQuantity, ReorderPoint
from marl_inv.baselines.seasonal import SeasonalOrderUpTo
from marl_inv.baselines.two_sources import CappedDualIndex, DualIndex, TailoredBaseSurge

BASELINES = {
    "random": RandomRequests,
    "order_up_to": OrderUpTo,
    "capped_order_up_to": CappedOrderUpTo,
    "echelon_base_stock": EchelonBaseStock,
    "equal_fractile": EqualFractile,
    "reorder_point": ReorderPoint,
    "fixed_quantity": FixedQuantity,
    "constant_order": ConstantOrder,
    "myopic": Myopic,
    "dual_index": DualIndex,
    "capped_dual_index": CappedDualIndex,
    "tailored_base_surge": TailoredBaseSurge,
    "threshold_balancing": ThresholdBalancing,
    "lp_balancing": LPBalancing,
    "promotion_calendar": PromotionCalendar,
    "just_in_time": JustInTime,
    "following_order_up_to": FollowingOrderUpTo,
    "seasonal_order_up_to": SeasonalOrderUpTo,
}

LAYERS = ("threshold_balancing", "lp_balancing", "promotion_calendar")
"""Those that lie over another policy: over order-up-to, or made by `Class.of(problem, base)`."""
