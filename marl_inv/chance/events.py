"""What happens to the network besides demand itself: regimes, surges, outages, delays, random lead times and
planned promotions.

Every kind of chance has numbers of its own in every replication, so that adding one leaves the others as they
are. `P` is periods, `C` the batch or 1 where all replications are alike.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from marl_inv.chance.luck import Luck
from marl_inv.scenario import Scenario
from marl_inv.scenario.demand import Regimes
from marl_inv.scenario.events import Delay, Event, Outage, Surge
from marl_inv.scenario.places import Calendar, Lane, RandomLeadTime


def chain(regimes: Regimes) -> tuple[Float[np.ndarray, "R R"], Float[np.ndarray, " R"]]:
    """Transition probabilities from (row) to (column), and the stationary distribution."""
    size = len(regimes.factors)
    if regimes.transition is None:
        leave = (1 - regimes.stay) / (size - 1)
        transition = np.full((size, size), leave) + (regimes.stay - leave) * np.eye(size)
    else:
        transition = np.array(regimes.transition)
    balance = np.vstack([transition.T - np.eye(size), np.ones(size)])
    stationary = np.linalg.lstsq(balance, np.append(np.zeros(size), 1.0), rcond=None)[0].clip(min=0)
    return transition, stationary / stationary.sum()


def regime_factors(
    regimes: Regimes, warehouses: int, periods: range, luck: Luck
) -> Float[np.ndarray, "P N B"]:
    """The factor of the regime that every warehouse is in. A chain begins in its stationary distribution."""
    transition, stationary = chain(regimes)
    chains = 1 if regimes.shared else warehouses
    uniform = luck.uniform("regimes", periods, chains)[..., None]
    reached, to = stationary.cumsum()[:-1], transition.cumsum(1)[:, :-1]
    regime = [(uniform[0] >= reached).sum(-1)]
    for chance in uniform[1:]:
        regime.append((chance >= to[regime[-1]]).sum(-1))
    factors = np.array(regimes.factors)[np.stack(regime)]
    return np.broadcast_to(factors, (len(periods), warehouses, len(luck)))


def under_way(event: Event, number: int, periods: int, luck: Luck) -> Bool[np.ndarray, "P C"]:
    """The periods in which an event lasts. None is under way before period 0; one that begins again while it
    lasts, lasts on.

    `number` is the event's place in the scenario.
    """
    shortest, longest = (
        event.duration if isinstance(event.duration, tuple) else (event.duration, event.duration)
    )
    if event.probability or shortest < longest:
        uniform = luck.uniform("events", range(periods), 2, number=number)
    else:
        uniform = np.zeros((periods, 2, 1))
    left, rows = np.zeros(uniform.shape[-1], dtype=np.int64), []
    for period, (begins, lasts) in enumerate(uniform):
        begun = (period in event.at) | ((left == 0) & (begins < event.probability))
        duration = shortest + (lasts * (longest - shortest + 1)).astype(np.int64)
        left = np.where(begun, np.maximum(left, duration), left)
        rows.append(left > 0)
        left = np.maximum(left - 1, 0)
    return np.stack(rows)


def surge_factors(scenario: Scenario, periods: int, luck: Luck) -> Float[np.ndarray, "P N C"] | None:
    """What all surges together multiply demand by, from period 0 on; None where there are none."""
    product: np.ndarray | None = None
    for number, event in enumerate(scenario.events):
        if isinstance(event, Surge):
            lasts = under_way(event, number, periods, luck)[:, None] & surged(scenario, event)[:, None]
            factor = np.where(lasts, event.factor, 1.0)
            product = factor if product is None else product * factor
    return product


def surged(scenario: Scenario, event: Surge) -> Bool[np.ndarray, " N"]:
    """The warehouses whose demand it multiplies."""
    return np.array(
        [not event.targets or warehouse.name in event.targets for warehouse in scenario.warehouses]
    )


def surge_chances(event: Surge, periods: int) -> Float[np.ndarray, " P"]:
    """About how probable it is that a surge lasts in each period: in the long run where it is random, and
    where `at` has begun it."""
    shortest, longest = (
        event.duration if isinstance(event.duration, tuple) else (event.duration, event.duration)
    )
    lasting = event.probability * (shortest + longest) / 2
    idle = np.full(periods, 1 - lasting / (lasting + 1 - event.probability) if lasting else 1.0)
    for begin in event.at:
        passed = np.arange(periods) - begin
        idle *= np.where(passed < 0, 1, 1 - ((longest - passed) / (longest - shortest + 1)).clip(0, 1))
    return 1 - idle


def available(scenario: Scenario, periods: int, luck: Luck) -> Float[np.ndarray, "P M C"] | None:
    """Share of its capacity that each of `scenario.interruptible` has, then a row of ones; of outages that
    overlap the worst counts."""
    names = scenario.interruptible
    if not names:
        return None
    share = np.ones((periods, len(names) + 1, len(luck)))
    for number, event in enumerate(scenario.events):
        if isinstance(event, Outage):
            rows = [names.index(name) for name in set(event.targets)]
            left = np.where(under_way(event, number, periods, luck), event.factor, 1.0)
            share[:, rows] = np.minimum(share[:, rows], left[:, None])
    return share


def lead_times(scenario: Scenario, periods: int, luck: Luck) -> Int[np.ndarray, "P E B"] | None:
    """Of what leaves on each lane that takes requests, delays included; None where all are fixed.

    Lanes from suppliers come first, then transfers, each in the scenario's order, as in the network.
    """
    lanes = _in_network_order(scenario)
    drawn = [
        (index, lane.lead_time)
        for index, lane in enumerate(lanes)
        if isinstance(lane.lead_time, RandomLeadTime)
    ]
    delays = [(number, event) for number, event in enumerate(scenario.events) if isinstance(event, Delay)]
    if not lanes or not (drawn or delays):
        return None
    fixed = [0 if isinstance(lane.lead_time, RandomLeadTime) else lane.lead_time for lane in lanes]
    result = np.tile(np.array(fixed)[:, None], (periods, 1, len(luck)))
    uniform = luck.uniform("lead_times", range(periods), len(lanes)) if drawn else None
    for index, lead_time in drawn:
        assert uniform is not None
        reached = np.cumsum(lead_time.chances)[:-1]
        result[:, index] = np.array(lead_time.values)[
            np.searchsorted(reached, uniform[:, index], side="right")
        ]
    for number, event in delays:
        slow = [index for index, lane in enumerate(lanes) if not event.targets or lane.name in event.targets]
        result[:, slow] += event.periods * under_way(event, number, periods, luck)[:, None]
    return result


def takes_requests(scenario: Scenario, periods: int) -> Bool[np.ndarray, "P E 1"] | None:
    """Whether each lane takes requests in a period; None where all do in each. Lanes as for `lead_times`."""
    lanes = _in_network_order(scenario)
    if all(lane.review_period == 1 for lane in lanes):
        return None
    every, first = np.array([[lane.review_period, lane.first_review] for lane in lanes]).T
    return ((np.arange(periods)[:, None] - first) % every == 0)[..., None]


def _in_network_order(scenario: Scenario) -> list[Lane]:
    """Lanes that take requests, those from suppliers first."""
    suppliers = {supplier.name for supplier in scenario.suppliers}
    return sorted(
        (lane for lane in scenario.lanes if not lane.reactive), key=lambda lane: lane.origin not in suppliers
    )


def planned_promotion(scenario: Scenario, periods: int) -> Float[np.ndarray, "P N 1"] | None:
    """The level that the calendar sets in every period; None where none is planned."""
    if not scenario.plans_promotions:
        return None
    levels = np.zeros((periods, len(scenario.warehouses), 1))
    for index, warehouse in enumerate(scenario.warehouses):
        if warehouse.promotion is not None and warehouse.promotion.planned is not None:
            levels[:, index, 0] = _levels(warehouse.promotion.planned, np.arange(periods))
    return levels


def _levels(calendar: Calendar, periods: Int[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
    since = periods - calendar.first
    into = since if calendar.every is None else since % calendar.every
    return np.where((since >= 0) & (into < calendar.length), calendar.level, 0.0)
