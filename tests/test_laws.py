"""What holds for any network, any requests and any demand: conservation, limits, sums, batches, names, gradients, and again the same."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from building import network
from marl_inv.interface import rewards
from marl_inv.network import TransferNetwork
from marl_inv.rationing import ration
from marl_inv.schema import COST_PARTS
from marl_inv.simulator import Chance, Costs, Decision, Flows, State, initial_state, inventory_position, step

PERIODS, REPLICATIONS = 4, 5

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
"""Relative to the largest quantity that a test adds up."""

quantity = st.sampled_from([0.0, 0.3, 1.0, 4.0, 25.0])
capacity = st.none() | st.sampled_from([0.7, 3.0, 11.0])


def _some(**values: Any) -> dict[str, Any]:
    """The fields that are given."""
    return {key: value for key, value in values.items() if value is not None}


@st.composite
def scenarios(draw: st.DrawFn) -> dict[str, Any]:
    """A random network as scenario data; prices and costs are whatever, and every third warehouse has backorders, storage, a promotion.."""
    products = [{"name": f"product_{k}", "volume": draw(st.sampled_from([1.0, 2.5]))} for k in range(draw(st.integers(1, 3)))]
    suppliers = [_some(name=f"supplier_{s}", capacity=draw(capacity)) for s in range(draw(st.integers(0, 2)))]
    per_product = st.lists(quantity, min_size=len(products), max_size=len(products))
    warehouses = []
    for n in range(draw(st.integers(1, 5))):
        storage = draw(st.none() | st.sampled_from([100.0, 260.0]))
        warehouses.append(
            _some(
                name=f"warehouse_{n}",
                unmet_demand=draw(st.sampled_from(["lost", "backordered"])),
                initial_stock=draw(per_product),
                storage=None if storage is None else storage * len(products),
                holding_cost=draw(per_product),
                shortage_cost=draw(per_product),
                overflow_cost=draw(quantity),
                price=draw(per_product),
                promotion=draw(st.none() | st.just({"max_level": 2.0, "uplift": 0.5, "cost": 3.0})),
            )
        )
    places = [entry["name"] for entry in suppliers + warehouses]
    lanes = []
    for e in range(draw(st.integers(0, 9))):
        origin, destination = draw(st.sampled_from(places)), draw(st.sampled_from(places[len(suppliers) :]))
        if origin != destination:
            supplied = origin in places[: len(suppliers)]
            cost = {"procurement_cost": draw(quantity) if supplied else 0.0, "transport_cost": draw(per_product)}
            lanes.append(
                _some(
                    name=f"lane_{e}",
                    origin=origin,
                    destination=destination,
                    lead_time=draw(st.integers(0, 3)),
                    capacity=draw(capacity),
                    **cost,
                )
            )
    members = st.lists(st.sampled_from([lane["name"] for lane in lanes]), min_size=1, unique=True) if lanes else st.nothing()
    pools = [
        {"name": f"pool_{p}", "lanes": draw(members), "capacity": draw(st.sampled_from([1.3, 9.0]))}
        for p in range(draw(st.integers(0, 2)) if lanes else 0)
    ]
    return {
        "products": products,
        "suppliers": suppliers,
        "warehouses": warehouses,
        "lanes": lanes,
        "pools": pools,
        "objective": draw(st.sampled_from(["cost", "profit"])),
    }


def luck(net: TransferNetwork, seed: int, replications: int = REPLICATIONS) -> tuple[list[Decision], list[Chance]]:
    """Random decisions, with requests from none to huge, and random demand, with periods and places without any."""
    generator = torch.Generator().manual_seed(seed)
    products, lanes, warehouses = len(net.products), len(net.lanes), len(net.warehouses)

    def pick(rows: int, sizes: list[float]) -> Tensor:
        shape = (products, rows, replications)
        chosen = torch.tensor(sizes, dtype=torch.float64)[torch.randint(len(sizes), shape, generator=generator)]
        return (chosen * torch.rand(shape, generator=generator, dtype=torch.float64)).to(net.volume)

    decisions = [Decision(pick(lanes, [0, 0, 0.1, 5, 5, 50, 1e5]), pick(warehouses, [0, 2])) for _ in range(PERIODS)]
    return decisions, [Chance(pick(warehouses, [0, 3, 10, 40])) for _ in range(PERIODS)]


def played(net: TransferNetwork, decisions: list[Decision], chances: list[Chance]) -> list[tuple[State, State, Flows, Costs]]:
    """Every period's opening state, closing state, flows and costs."""
    state, periods = initial_state(net, chances[0].demand.shape[-1]), []
    for decision, chance in zip(decisions, chances, strict=True):
        after, flows, costs = step(net, state, decision, chance)
        periods.append((state, after, flows, costs))
        state = after
    return periods


def close(left: Tensor, right: Tensor, size: Tensor) -> bool:
    """Whether the difference is float noise, next to the size of what was added up."""
    return bool(((left - right).abs() <= TOLERANCE[left.dtype] * (1 + size.abs().max())).all()) if left.numel() else True


def within(used: Tensor, limit: Tensor | float, size: Tensor | float = 1.0) -> bool:
    """Whether a limit is kept, to float noise, next to the size of what it was worked out from."""
    return bool((used <= limit * (1 + TOLERANCE[used.dtype]) + TOLERANCE[used.dtype] * size).all())


dtypes = st.sampled_from([torch.float64, torch.float32])
seeds = st.integers(0, 2**32 - 1)


@given(scenarios(), seeds, dtypes)
@settings(max_examples=80)
def test_units_are_conserved(scenario: dict[str, Any], seed: int, dtype: torch.dtype):
    """Opening stock + on the way + shipped by suppliers = closing stock + on the way + served, old backorders too, + discarded."""
    net = network(scenario, dtype)
    for before, after, flows, _ in played(net, *luck(net, seed)):
        supplied = flows.shipments[:, : net.replenishments].sum(1)
        there = before.on_hand.sum(1) + before.in_transit.sum(1) + supplied
        here = after.on_hand.sum(1) + after.in_transit.sum(1) + flows.served.sum(1) + flows.overflow.sum(1)
        assert close(there, here, there)
        assert (flows.served >= -TOLERANCE[dtype] * (1 + there.max())).all()


@given(scenarios(), seeds, dtypes)
@settings(max_examples=80)
def test_no_limit_is_exceeded(scenario: dict[str, Any], seed: int, dtype: torch.dtype):
    """Of lanes, pools, suppliers, stock at the origin or storage; nobody is sent more than asked for, and stock is never negative."""
    net = network(scenario, dtype)
    lane_of = {lane["name"]: lane for lane in scenario["lanes"]}
    for before, after, flows, _ in played(net, *luck(net, seed)):
        assert (flows.shipments >= 0).all()
        assert within(flows.shipments, flows.requests)
        carried = dict(zip(net.lanes, (flows.shipments * net.volume).sum(0), strict=True))
        for name, volume in carried.items():
            assert within(volume, lane_of[name].get("capacity", float("inf")))
        for pool in scenario["pools"]:
            assert within(sum(carried[name] for name in pool["lanes"]), pool["capacity"])
        for supplier in scenario["suppliers"]:
            output = sum(carried[name] for name, lane in lane_of.items() if lane["origin"] == supplier["name"])
            assert within(torch.as_tensor(output, dtype=dtype), supplier.get("capacity", float("inf")))
        for n, warehouse in enumerate(scenario["warehouses"]):
            outbound = [e for e, name in enumerate(net.lanes) if lane_of[name]["origin"] == warehouse["name"]]
            assert within(flows.shipments[:, outbound].sum(1), before.on_hand[:, n])
            assert within((after.on_hand * net.volume).sum(0)[n], warehouse.get("storage", float("inf")), 1 + flows.receipts.max())
            if warehouse["unmet_demand"] == "lost":
                assert (after.inventory_level[:, n] >= 0).all()
                assert not flows.backorders[:, n].any()
            else:
                assert not flows.lost[:, n].any()
        assert (after.pipeline >= 0).all()
        assert (flows.overflow >= 0).all()
        assert within(flows.overflow, flows.receipts, 1 + flows.on_hand.max())


@given(scenarios(), seeds)
@settings(max_examples=40)
def test_backorders_come_from_customers_only(scenario: dict[str, Any], seed: int):
    """Without demand nobody ever has a backorder, whatever is asked for."""
    net = network(scenario)
    decisions, chances = luck(net, seed)
    for _, after, flows, _ in played(net, decisions, [Chance(torch.zeros_like(chance.demand)) for chance in chances]):
        assert not after.backorders.any()
        assert not flows.backorders.any()


@given(scenarios(), seeds)
@settings(max_examples=40)
def test_cost_parts_add_up_and_rewards_are_the_systems(scenario: dict[str, Any], seed: int):
    """The system's money is worked out here from flows alone: what was bought, moved, held, missed, thrown away and sold."""
    net = network(scenario)
    lane_of = {lane["name"]: lane for lane in scenario["lanes"]}

    def rate(values: list[Any]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64).reshape(-1, len(net.products)).T[..., None]

    price = {key: rate([entry[key] for entry in scenario["warehouses"]]) for key in ("holding_cost", "shortage_cost", "price")}
    decisions, chances = luck(net, seed)
    for decision, (_, _, flows, costs) in zip(decisions, played(net, decisions, chances), strict=True):
        parts = sum(getattr(costs, part) for part in COST_PARTS)
        assert close(costs.revenue * net.weights["revenue"] - costs.reward, parts, parts)
        money = (price["holding_cost"] * flows.on_hand + price["shortage_cost"] * (flows.lost + flows.backorders)).sum((0, 1))
        for n, warehouse in enumerate(scenario["warehouses"]):
            money = money + warehouse["overflow_cost"] * flows.overflow[:, n].sum(0)
            if "promotion" in warehouse:
                money = money + 3 * decision.promotion[:, n].sum(0)
        for e, name in enumerate(net.lanes):
            bought = lane_of[name]["procurement_cost"] if e < net.replenishments else 0
            money = money + ((bought + rate([lane_of[name]["transport_cost"]])[:, 0]) * flows.shipments[:, e]).sum(0)
        earned = (price["price"] * flows.served).sum((0, 1)) if scenario["objective"] == "profit" else torch.zeros_like(money)
        assert close(rewards(costs).sum((0, 1)), earned - money, earned + money)


def column(record: Any, i: int) -> Any:
    """Replication i of a decision or a chance, as a batch of one."""
    return replace(record, **{name: value[..., i : i + 1].contiguous() for name, value in tensors(record).items()})


def same_bits(left: Any, right: Any, i: int) -> bool:
    """Whether a batch of one is replication i of a batch, bit for bit, in every field."""
    return all(torch.equal(value, tensors(right)[name][..., i : i + 1]) for name, value in tensors(left).items())


@given(scenarios(), seeds, dtypes)
@settings(max_examples=60)
def test_a_batch_of_one_is_a_column_of_a_batch_bit_for_bit(scenario: dict[str, Any], seed: int, dtype: torch.dtype):
    net = network(scenario, dtype)
    decisions, chances = luck(net, seed)
    batch = played(net, decisions, chances)
    for i in range(REPLICATIONS):
        alone = played(net, [column(decision, i) for decision in decisions], [column(chance, i) for chance in chances])
        for one, many in zip(alone, batch, strict=True):
            assert all(same_bits(left, right, i) for left, right in zip(one, many, strict=True))
            assert torch.equal(inventory_position(net, one[1]), inventory_position(net, many[1])[..., i : i + 1])


@pytest.mark.parametrize("products", [1, 9, 20, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_products_and_periods_on_the_way_add_up_the_same_in_any_batch(products: int, dtype: torch.dtype):
    """Sums over 9 products and more, and over 12 periods of pipeline, are where torch changes the order with the size of the batch."""
    net = network(
        {
            "products": {"count": products},
            "suppliers": [{"name": "mill", "capacity": 4.1 * products}],
            "warehouses": [{"name": "shop", "storage": 7.3 * products}],
            "lanes": [{"origin": "mill", "destination": "shop", "lead_time": lead_time, "name": f"{lead_time}"} for lead_time in (0, 12)],
        },
        dtype,
    )
    decisions, chances = luck(net, 0, replications=64)
    batch = played(net, decisions * 4, chances * 4)
    for i in range(REPLICATIONS):
        alone = played(net, [column(decision, i) for decision in decisions] * 4, [column(chance, i) for chance in chances] * 4)
        assert all(same_bits(left, right, i) for one, many in zip(alone, batch, strict=True) for left, right in zip(one, many, strict=True))
        assert torch.equal(inventory_position(net, alone[-1][1]), inventory_position(net, batch[-1][1])[..., i : i + 1])


@given(scenarios(), seeds, st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_renumbering_renumbers_the_result(scenario: dict[str, Any], seed: int, random: Any):
    """Products, suppliers, warehouses and lanes in another order: the same happens to the same names. (Pools cut in their order.)"""
    net = network(scenario)
    order = list(range(len(net.products)))
    random.shuffle(order)

    def renumbered(entry: dict[str, Any]) -> dict[str, Any]:
        per_product = ("initial_stock", "holding_cost", "shortage_cost", "price", "transport_cost")
        return {key: [value[k] for k in order] if key in per_product else value for key, value in entry.items()}

    shuffled = scenario | {
        key: random.sample([renumbered(entry) for entry in scenario[key]], len(scenario[key]))
        for key in ("suppliers", "warehouses", "lanes")
    }
    other = network(shuffled | {"products": [scenario["products"][k] for k in order]})
    warehouses, lanes = [net.warehouses.index(name) for name in other.warehouses], [net.lanes.index(name) for name in other.lanes]
    decisions, chances = luck(net, seed)
    moved = [Decision(decision.requests[order][:, lanes], decision.promotion[order][:, warehouses]) for decision in decisions]
    again = played(other, moved, [Chance(chance.demand[order][:, warehouses]) for chance in chances])
    for (_, state, flows, costs), (_, other_state, other_flows, other_costs) in zip(played(net, decisions, chances), again, strict=True):
        size = flows.shipments.sum() + state.on_hand.sum()
        assert close(state.inventory_level[order][:, warehouses], other_state.inventory_level, size)
        assert close(state.pipeline[order][:, :, warehouses], other_state.pipeline, size)
        assert close(flows.shipments[order][:, lanes], other_flows.shipments, size)
        assert close(costs.reward[order][:, warehouses], other_costs.reward, 100 * size)
    torch.testing.assert_close(net.throughput[order][:, warehouses].sum(), other.throughput.sum())
    torch.testing.assert_close(net.max_request[order][:, lanes], other.max_request)


def tensors(record: Any) -> dict[str, Tensor]:
    return {name: value for name, value in vars(record).items() if isinstance(value, Tensor)}


@given(scenarios(), seeds)
@settings(max_examples=30)
def test_a_step_changes_nothing_it_was_given(scenario: dict[str, Any], seed: int):
    net = network(scenario)
    decisions, chances = luck(net, seed)
    state = initial_state(net, REPLICATIONS)
    for decision, chance in zip(decisions, chances, strict=True):
        given = [net, state, decision, chance]
        before = [{name: value.clone() for name, value in tensors(record).items()} for record in given]
        once, again = step(net, state, decision, chance), step(net, state, decision, chance)
        for record, copy in zip(given, before, strict=True):
            assert all(torch.equal(value, copy[name]) for name, value in tensors(record).items())
        for left, right in zip(once, again, strict=True):
            assert all(torch.equal(value, tensors(right)[name]) for name, value in tensors(left).items())
        state = once[0]


@given(scenarios(), seeds, dtypes, st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0]))
@settings(max_examples=80)
def test_gradients_are_finite_even_with_nothing_asked_for_and_nothing_there(
    scenario: dict[str, Any], seed: int, dtype: torch.dtype, stock: float, asked: float
):
    net = network(scenario, dtype)
    decisions, chances = luck(net, seed)
    state = initial_state(net, REPLICATIONS)
    start = (state.inventory_level * stock).requires_grad_()
    leaves = [start]
    state, reward = State(start, state.pipeline), torch.zeros((), dtype=dtype)
    for decision, chance in zip(decisions, chances, strict=True):
        given = [(quantities * asked).requires_grad_() for quantities in (decision.requests, decision.promotion)]
        leaves += given
        state, _, costs = step(net, state, Decision(*given), chance)
        reward = reward + rewards(costs).sum() + inventory_position(net, state).sum()
    reward.backward()
    assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in leaves)


@given(scenarios(), seeds)
@settings(max_examples=40)
def test_gradients_are_slopes(scenario: dict[str, Any], seed: int):
    """Between the kinks: requests at random are at none, and the gradient of shipments is the difference quotient."""
    net = network(scenario)
    generator = torch.Generator().manual_seed(seed)
    asked = (torch.rand(len(net.products), len(net.lanes), 1, generator=generator, dtype=torch.float64) * 9 + 0.5).requires_grad_()
    on_hand = torch.rand(len(net.products), len(net.warehouses), 1, generator=generator, dtype=torch.float64) * 9 + 0.5
    weights = torch.rand(asked.shape, generator=generator, dtype=torch.float64)

    def shipped(requests: Tensor) -> Tensor:
        return (ration(net, requests, on_hand) * weights).sum()

    if len(net.lanes):
        direction = torch.rand(asked.shape, generator=generator, dtype=torch.float64)
        slope = (torch.autograd.grad(shipped(asked), asked)[0] * direction).sum()
        width = 1e-6
        quotient = (shipped(asked + width * direction) - shipped(asked - width * direction)) / (2 * width)
        torch.testing.assert_close(slope, quotient.detach(), rtol=1e-4, atol=1e-6)


PLAY_AND_PRINT = """
import hashlib, torch
from marl_inv.problem import load_problem
from marl_inv.simulator import Decision, initial_state, step

torch.set_num_threads(1)
problem = load_problem("{scenario}", ["warehouses.0.faces_demand=true"])
network, trace = problem.network, problem.trace("evaluate", 5, 4)
state, seen = initial_state(network, 4), hashlib.sha256(repr((network.lanes, network.source_lane.tolist())).encode())
for period in range(len(trace)):
    requests = (network.max_request * (0.1 + period % 7 / 7)).unsqueeze(-1).expand(-1, -1, 4)
    state, flows, costs = step(network, state, Decision(requests), trace.at(period))
    for tensor in (state.inventory_level, state.pipeline, flows.shipments, costs.reward):
        seen.update(tensor.contiguous().numpy().tobytes())
print(seen.hexdigest())
"""

TWO_MILLS = """
demand: {kind: normal, mean: 5, sd: 3}
suppliers: [{name: mill}, {name: forge}]
warehouses: [{name: a, initial_stock: 9}, {name: b, storage: 30}, {name: c}]
lanes:
  - {origin: forge, destination: a, lead_time: 1}
  - {origin: mill, destination: a, lead_time: 1, capacity: 7}
  - {origin: a, destination: b, lead_time: 1, transport_cost: 1}
  - {origin: b, destination: c, lead_time: 0, transport_cost: 1}
  - {origin: a, destination: c, lead_time: 2, transport_cost: 2}
pools: [{name: fleet, lanes: [b->c, a->b], capacity: 4}]
"""


def test_a_scenario_plays_the_same_in_every_process(tmp_path: Any):
    """Python shuffles its sets from process to process; no result may hang on their order."""
    (tmp_path / "mills.yaml").write_text(TWO_MILLS, encoding="utf-8")
    program = PLAY_AND_PRINT.replace("{scenario}", str(tmp_path / "mills.yaml"))
    processes = [
        subprocess.Popen([sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, text=True)
        for seed in ("1", "2", "3")
    ]
    printed = {process.communicate(timeout=120)[0] for process in processes}
    assert len(printed) == 1
    assert len(printed.pop().strip()) == 64
