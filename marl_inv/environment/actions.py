"""Actions as PettingZoo's agents give them, to a decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from jaxtyping import Float, Int, Int8, Shaped
from torch import Tensor

from marl_inv.common.errors import InputError, suggestion
from marl_inv.episodes.decisions import OrderLevels
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision

NOT_ASKED = np.zeros(1)
"""Comes after all actions: what is decided where nobody decides."""


@dataclass(frozen=True)
class ActionLayout:
    """Where everything stands in the vector of all agents' actions, one after the other (A entries, and a 0
    after them)."""

    network: TransferNetwork
    entries: dict[str, slice]
    """Of every agent."""
    requests: dict[str, slice]
    """The part of an agent's entries that are requests; promotion levels follow, then reserves."""
    reactive: dict[str, list[int]]
    """The reactive lanes that lead to an agent, where there are any."""
    high: Float[np.ndarray, " A"]
    slot: Int[np.ndarray, " A"]
    """For a request's entry, its place in (K, E) requests; 0 elsewhere."""
    request_at: Int[Tensor, "K E 1"]
    """The entry of every request."""
    promotion_at: Int[Tensor, "K N 1"]
    """The entry of every promotion level; the last one, the 0, where none is decided."""
    reserve_at: Int[Tensor, "K N 1"]
    """The same of every reserve."""
    levels: OrderLevels | None
    """What actions are the levels of; None where they are quantities."""
    discrete: frozenset[str] = frozenset()
    """The agents whose action is one whole number: a level, or the number of a choice of levels for all
    entries."""

    @classmethod
    def of(cls, network: TransferNetwork, levels: int | None, flat: bool = False) -> ActionLayout:
        products, lanes, warehouses = len(network.products), len(network.lanes), len(network.warehouses)
        none = np.zeros((products, warehouses))
        max_request = network.max_request.cpu().numpy().ravel()
        max_promotion = (
            none if network.max_promotion is None else none + network.max_promotion.cpu().numpy().ravel()
        )
        max_reserve = none if network.max_reserve is None else network.max_reserve.cpu().numpy()
        first_lane = lanes * np.arange(products)[:, None]
        high: list[np.ndarray] = []
        slots: list[np.ndarray] = []
        request_at = np.zeros((products, lanes, 1), dtype=int)
        promotion_at, reserve_at = np.full((2, products, warehouses, 1), -1)
        entries, requests, end = {}, {}, 0
        for n, agent in enumerate(network.warehouses):
            slot = (first_lane + np.array(network.inbound(n), dtype=int)).ravel()
            start, middle = end, end + len(slot)
            request_at.ravel()[slot] = np.arange(start, middle)
            end = middle
            high.append(max_request[slot])
            slots.append(slot)
            for most, place in ((max_promotion[:, n], promotion_at), (max_reserve[:, n], reserve_at)):
                if most.any():
                    place[:, n, 0] = np.arange(end, end + products)
                    end += products
                    high.append(most)
                    slots.append(np.zeros(products, dtype=int))
            entries[agent], requests[agent] = slice(start, end), slice(start, middle)
        reactive: dict[str, list[int]] = {}
        for lane, n in enumerate([] if network.reactive is None else network.reactive.destination.tolist()):
            reactive.setdefault(network.warehouses[n], []).append(lane)
        requested, promoted, reserved = (
            torch.from_numpy(np.where(at < 0, end, at)).to(network.destination.device)
            for at in (request_at, promotion_at, reserve_at)
        )
        most, slot = np.concatenate(high, dtype=np.float32), np.concatenate(slots)
        sizes = {agent: part.stop - part.start for agent, part in entries.items()}
        discrete = {agent for agent, size in sizes.items() if levels is not None and (flat or size == 1)}
        for agent in discrete:
            _check_choices(agent, levels or 0, sizes[agent])
        return cls(
            network,
            entries,
            requests,
            reactive,
            most,
            slot,
            requested,
            promoted,
            reserved,
            None if levels is None else OrderLevels.of(network, levels),
            frozenset(discrete),
        )

    @cached_property
    def shapes(self) -> list[tuple[int]]:
        return [(entries.stop - entries.start,) for entries in self.entries.values()]

    def names(self, agent: str) -> list[str]:
        network, n = self.network, self.network.warehouses.index(agent)
        lanes = [network.lanes[lane] for lane in network.inbound(n)]
        names = [f"{product}.request.{lane}" for product in network.products for lane in lanes]
        for kind, place in (("promotion", self.promotion_at), ("reserve", self.reserve_at)):
            names += [f"{product}.{kind}" for product in network.products] * (
                int(place[0, n, 0]) < len(self.high)
            )
        return names

    def space(self, agent: str) -> Box | Discrete | MultiDiscrete:
        high = self.high[self.entries[agent]]
        if self.levels is None:
            return Box(np.zeros_like(high), high)
        if agent in self.discrete:
            return Discrete(self.levels.count**high.size)
        return MultiDiscrete(np.full(high.shape, self.levels.count))

    def _levels_of(self, agent: str, action: np.ndarray) -> np.ndarray:
        """The level of every entry, from the number that stands for all of them."""
        assert self.levels is not None
        entries, count = self.entries[agent], self.levels.count
        size = entries.stop - entries.start
        if action.shape == (1,) and size == 1:
            return action
        if action.shape != ():
            raise InputError(f"action of {agent}: has shape {action.shape}; give one whole number")
        if size == 1:
            return action.reshape(1)
        if not (0 <= action < count**size and action == np.floor(action)):
            raise InputError(
                f"action of {agent}: is {action}; give a whole number from 0 to {count**size - 1}"
            )
        return np.array(np.unravel_index(int(action), (count,) * size), dtype=np.float64)

    def read(self, actions: Mapping[str, Any]) -> Float[np.ndarray, " A1"]:
        """All agents' actions as one vector, checked and limited to what the spaces allow."""
        if not isinstance(actions, Mapping) or actions.keys() != self.entries.keys():
            raise _not_everyone(actions, self.entries)
        given = [_numbers(agent, actions[agent]) for agent in self.entries]
        if self.discrete:
            given = [
                self._levels_of(agent, action) if agent in self.discrete else action
                for agent, action in zip(self.entries, given, strict=True)
            ]
        if [action.shape for action in given] != self.shapes:
            raise self._misshapen(given)
        asked = np.concatenate([*given, NOT_ASKED])
        playable = (asked >= 0) & (asked < np.inf)
        if self.levels is not None:
            playable &= (asked < self.levels.count) & (asked == np.floor(asked))
        if not playable.all():
            raise self._unplayable(asked, int(np.argmin(playable)))
        if self.levels is not None:
            asked[:-1] *= self.step
        np.minimum(asked[:-1], self.high, out=asked[:-1])
        return asked

    def _misshapen(self, given: list[np.ndarray]) -> InputError:
        shapes = zip(self.entries, given, self.shapes, strict=True)
        agent, shape, expected = next(
            (agent, action.shape, shape) for agent, action, shape in shapes if action.shape != shape
        )
        return InputError(
            f"action of {agent}: has shape {shape}; give {expected}, as in env.action_names({agent!r})"
        )

    def _unplayable(self, asked: np.ndarray, entry: int) -> InputError:
        agent = next(agent for agent, entries in self.entries.items() if entry < entries.stop)
        name = self.names(agent)[entry - self.entries[agent].start]
        wanted = (
            "a number, 0 or more"
            if self.levels is None
            else f"a level, a whole number from 0 to {self.levels.count - 1}"
        )
        return InputError(f"action of {agent}: {name} is {asked[entry]}; give {wanted}")

    def _in_entries(self, values: Shaped[Tensor, "K C 1"]) -> Shaped[np.ndarray, " A"]:
        """One value for each choice that `OrderLevels` lists, at the entries of the actions."""
        network = self.network
        decided = {"promotion_at": network.max_promotion, "reserve_at": network.max_reserve}
        places = [
            self.request_at,
            *(getattr(self, place) for place, most in decided.items() if most is not None),
        ]
        entries = values.new_zeros(len(self.high) + 1)
        entries[torch.cat(places, 1).flatten()] = values.flatten()
        return entries[:-1].cpu().numpy()

    @cached_property
    def step(self) -> Float[np.ndarray, " A"]:
        """What a level more asks for."""
        assert self.levels is not None
        return self._in_entries(self.levels.step.unsqueeze(-1))

    def units_of_levels(self) -> Float[np.ndarray, "A J"]:
        assert self.levels is not None
        return np.minimum(np.outer(self.step, np.arange(self.levels.count)), self.high[:, None])

    def mask(self, available: Float[Tensor, "M 1"] | None) -> Int8[np.ndarray, "A J"]:
        """1 where a level makes sense now."""
        assert self.levels is not None
        highest = self._highest if available is None else self._in_entries(self.levels.highest(available))
        return (np.arange(self.levels.count) <= highest[:, None]).astype(np.int8)

    def masks(self, available: Float[Tensor, "M 1"] | None) -> dict[str, Any]:
        """The same for every agent, as its space's `sample` takes it."""
        mask = self.mask(available)
        return {
            agent: _of_choices(mask[entries]) if agent in self.discrete else tuple(mask[entries])
            for agent, entries in self.entries.items()
        }

    @cached_property
    def _highest(self) -> Int[np.ndarray, " A"]:
        assert self.levels is not None
        return self._in_entries(self.levels.highest())

    def by_agent(self, units: Float[Tensor, "K E 1"]) -> Float[np.ndarray, " A"]:
        """What lanes carry, at the entries of the requests on them."""
        return units.cpu().numpy().take(self.slot)

    def decision(self, asked: Float[np.ndarray, " A1"]) -> Decision:
        network = self.network
        units = torch.from_numpy(asked).to(network.volume)
        promotion = None if network.max_promotion is None else units.take(self.promotion_at)
        return Decision(
            units.take(self.request_at),
            promotion,
            None if network.max_reserve is None else units.take(self.reserve_at),
        )


MOST_CHOICES = 2**16
"""Of one agent in a flat space; its mask has an entry for each."""


def _check_choices(agent: str, levels: int, entries: int) -> None:
    if levels**entries > MOST_CHOICES and entries > 1:
        raise InputError(
            f"flat: {agent} has {levels}^{entries} choices, and {MOST_CHOICES} are the most; give fewer "
            "levels, or no flat"
        )


def _of_choices(mask: Int8[np.ndarray, "A J"]) -> Int8[np.ndarray, " _"]:
    """1 where the levels of all entries make sense."""
    return reduce(np.multiply.outer, mask, np.ones((), dtype=np.int8)).ravel()


def _numbers(agent: str, action: Any) -> np.ndarray:
    try:
        return np.asarray(action, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"action of {agent}: is {action!r}; give an array of numbers") from error


def _not_everyone(actions: Any, agents: Iterable[str]) -> InputError:
    if not isinstance(actions, Mapping):
        return InputError(f"actions: are {actions!r}; give a dict with an action for every agent")
    if missing := [agent for agent in agents if agent not in actions]:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        return InputError(f"actions: hold none for {', '.join(missing[:5])}{more}; give one for every agent")
    stranger = next(iter(actions.keys() - set(agents)))
    return InputError(f"actions: {stranger!r} is no agent{suggestion(str(stranger), agents)}")
