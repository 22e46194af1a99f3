"""What a function is given and returns is checked whenever it is of a new kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest
import torch
from beartype import beartype
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from building import problem
from marl_inv.simulator import Decision, initial_state
from shape_checks import check_new

check = check_new(typechecker=beartype)


@check
def doubled(values: Float[Tensor, "K N"], other: Float[Tensor, " N"], cut: int = 0) -> Float[Tensor, "K N"]:
    return (2 * values * other)[:, cut:]


@check
@dataclass
class Held:
    values: Float[Tensor, "K N"]
    others: Float[Tensor, "K N"]
    rule: Literal["plain", "cut"] = "plain"

    @property
    @check
    def total(self) -> Float[Tensor, " N"]:
        return self.values.sum(0) if self.rule == "plain" else self.values


@check
def longest(names: list[str]) -> int:
    return max(map(len, names))


def test_a_call_of_a_new_kind_is_checked_after_others_were():
    for columns in (3, 3, 4):
        assert doubled(torch.ones(2, columns), torch.ones(columns)).sum() == 4 * columns
    for wrong in (
        (torch.ones(2, 3), torch.ones(4)),
        (torch.ones(3), torch.ones(3)),
        (torch.ones(2, 3, dtype=torch.long), torch.ones(3)),
        ([[1.0]], torch.ones(3)),
    ):
        for _ in range(2):
            with pytest.raises(TypeCheckError, match=r"checking the parameters of .*doubled"):
                doubled(*wrong)


def test_what_is_returned_is_checked_for_arguments_of_known_kinds():
    assert doubled(torch.ones(2, 5), torch.ones(5), cut=0).shape == (2, 5)
    for _ in range(2):
        with pytest.raises(TypeCheckError, match=r"checking the return value of .*doubled"):
            doubled(torch.ones(2, 5), torch.ones(5), cut=1)
    assert doubled(torch.ones(2, 5), torch.ones(5), cut=0).shape == (2, 5)


def test_records_are_checked_when_they_are_made_and_what_they_hold_when_it_is_asked_for():
    assert Held(torch.ones(2, 3), torch.ones(2, 3)).total.tolist() == [2, 2, 2]
    for wrong in ((torch.ones(2, 3), torch.ones(2, 4)), (torch.ones(2, 3), torch.ones(2, 3), "cutt")):
        with pytest.raises(TypeCheckError, match=r"Held.__init__"):
            Held(*wrong)
    with pytest.raises(TypeCheckError, match=r"checking the return value of .*total"):
        _ = Held(torch.ones(2, 3), torch.ones(2, 3), "cut").total


def test_what_holds_others_is_looked_at_every_time():
    assert longest(["a", "bcd"]) == 3
    with pytest.raises(TypeCheckError, match="names"):
        longest([b"a"])


def test_the_package_is_checked():
    made = problem("""
  demand: {kind: poisson, mean: 4}
  suppliers: [{name: mill}]
  warehouses: [{name: a}, {name: b}]
  lanes: [{origin: mill, destination: a, lead_time: 1}, {origin: mill, destination: b, lead_time: 1}]
""")
    network = made.network
    assert network.mean(torch.ones(1, 2)).tolist() == [[1]]
    initial_state(network, 4)
    for wrong in (2, torch.ones(2, 3)):
        with pytest.raises(TypeCheckError, match="__init__"):
            Decision(wrong)
