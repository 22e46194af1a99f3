"""What can be set about a training run. Importing this loads neither torch nor Tianshou."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard

from pydantic import AfterValidator, Field, model_validator

from marl_inv.common.errors import suggestion
from marl_inv.common.plugins import defaults, is_own, known_or_own
from marl_inv.common.records import Record
from marl_inv.models.settings import ModelSettings
from marl_inv.scenario.fields import Amount, Count, Positive, Seed, Whole

_VALUES = {
    "head": "values",
    "decisions": 1_500_000,
    "decisions_per_update": 8_000,
    "periods_per_update": 10,
    "discount": 0.9,
    "passes": 8,
    "control_variate": False,
    "validation_replications": 1024,
}

OWN_DEFAULTS: dict[str, dict[str, Any]] = {
    "reinforce": {"lr": 3e-3},
    "pathwise": {
        "decisions": 16_000_000,
        "lr": 1e-2,
        "decisions_per_update": 40_000,
        "hidden": 64,
        "validation_replications": 4096,
    },
    "iql": _VALUES,
    "vdn": _VALUES,
    "qmix": _VALUES,
}
"""Where an algorithm's defaults are not those of the fields."""


ALGORITHM_NAMES = ("mappo", "ippo", "reinforce", "pathwise", "iql", "vdn", "qmix")

PLUGGED = ("reward", "model", "algorithm")
"""Settings that may name code of one's own; where the DEFAULTS of several say one thing, the last counts."""


class Robust(Record):
    """Shocks to train under."""

    shocks: str = "market"
    """Of which library, by name or by the path of its YAML file."""
    share: float = Field(default=0.75, ge=0, le=1)
    """Of episodes that are befallen by one of them."""
    objective: Literal["mean", "cvar"] = "mean"
    """mean: what episodes earn; cvar: what the worst of them earn (pathwise only)."""
    tail: float = Field(default=0.2, gt=0, le=1)
    """The share of episodes that are the worst."""


STARTS = ("tuned", "newsvendor")


def is_run(start: Any) -> TypeGuard[str]:
    """Whether a `start` is the folder of a run, or a file in there."""
    if not isinstance(start, str) or start in STARTS:
        return False
    return Path(start).exists() or not {"/", "\\"}.isdisjoint(start)


def _start(name: str) -> str:
    if name not in STARTS and not is_run(name):
        known = suggestion(name, STARTS)
        raise ValueError(f"is {name!r}; give tuned, newsvendor, or the folder of a run{known}")
    return name


class TrainSettings(ModelSettings):
    """All that can be set about a training run; also the fields of ModelSettings."""

    algorithm: Annotated[str, known_or_own(ALGORITHM_NAMES, "module:build")] = "mappo"
    """mappo: PPO with a critic of the whole network; ippo: with local critic and reward. reinforce: no
    critic. pathwise: through the simulator. iql, vdn, qmix: deep Q-learning of order levels; of a warehouse's
    own reward, or of the team's as a mean, or a mixing network, of theirs. module:build: one's own."""
    decisions: Annotated[int, Field(gt=0, le=10**12)] = 6_000_000
    """Length of training, in decisions: periods x replications x warehouses x products; 16 million for
    pathwise, 1.5 million for iql, vdn and qmix."""
    seed: Seed = 0
    """Of weights, exploration and training demand."""
    device: str = "cpu"
    """cpu, cuda or cuda:0, ..."""
    threads: Annotated[int, Field(gt=0, le=1024)] = 1
    """Of torch on the CPU; more than there are idle cores slows training down badly."""
    start: Annotated[str, AfterValidator(_start)] = "tuned"
    """tuned or newsvendor: the levels that the policy begins at and learns deviations from, of order-up-to
    or, where warehouses feed others and it does better on validation traces, of echelon base-stock. Where
    demand comes from a file, order-up-to that follows it, either way. Or the folder of a run, whose policy,
    levels and weights, it begins as; critic, optimizer and learning rate begin anew."""
    optimizer: Literal["adam", "adamw", "rmsprop"] = "adam"
    """adam, adamw or rmsprop."""
    lr: Positive = 1e-3
    """Learning rate; 3e-3 for reinforce, 1e-2 for pathwise."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls to 0 over the run; constant: not at all."""
    discount: float = Field(default=0.98, ge=0, lt=1)
    """Weight of the next period's reward; 0.9 for iql, vdn and qmix."""
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    """Trust in what happened over what the critic expected, in advantages (Schulman et al. 2016)."""
    clip: Positive = 0.2
    """How far one update may move the policy's action probabilities."""
    passes: Count = 4
    """Times each batch of experience is used; once by reinforce; 8 by iql, vdn and qmix, on average."""
    minibatches: Count = 4
    """Gradient steps in a pass."""
    replay: Annotated[int, Field(gt=0, le=10**9)] = 200_000
    """Decisions that iql, vdn and qmix remember and learn from."""
    n_step: Count = 3
    """Periods whose rewards they count before they rely on what they believe (Sutton 1988)."""
    double: bool = True
    """They choose by what they believe now and value by what they believed before (van Hasselt, Guez and
    Silver 2016)."""
    target_every: Count = 200
    """Gradient steps after which what they believed before is brought up to date."""
    exploring: float = Field(default=0.05, ge=0, le=1)
    """Share of periods in which one of a network's choices is made at random in the end; it falls from 0.3 in
    the first half of the run."""
    decisions_per_update: Annotated[int, Field(gt=0, le=10**9)] = 20_000
    """Experience gathered for an update, in decisions; 40,000 for pathwise, which like reinforce plays whole
    episodes, and 8,000 for iql, vdn and qmix."""
    periods_per_update: Count = 25
    """Periods played between updates, at most the horizon; the replications side by side follow. 10 for iql,
    vdn and qmix. A policy that remembers plays whole episodes."""
    critic: Literal["local", "network", "privileged"] | None = None
    """What it sees in training: local, the network, or also the demand that is coming; when absent, local for
    ippo and network for mappo. It has no memory, whatever the policy has."""
    value_normalisation: bool = True
    """The critic speaks in standard deviations of returns from their mean, per product and warehouse."""
    value_weight: Amount = 0.5
    """Of the critic's squared error in the loss."""
    entropy_weight: Amount = 0.0
    """Of the bonus for exploring, in the loss."""
    max_grad_norm: Positive = 0.5
    """Gradients longer than this are shortened to it."""
    reward_mix: float | None = Field(default=None, ge=0, le=1)
    """0 rewards a warehouse with its own profit, 1 with the mean of all; when absent, 0 for ippo and iql,
    else 1. vdn and qmix know only 1."""
    reward: Annotated[str, known_or_own((), "module:function")] | None = None
    """module:function: a reward of one's own to learn from; validation and evaluation keep the scenario's
    objective."""
    control_variate: bool = True
    """Subtract what the starting policy earns on the same trace from rewards: less noise, same optimum.
    Without, as by iql, vdn and qmix, what it earns on average."""
    validations: Count = 20
    """How often the policy is tried on validation traces."""
    keep: Literal["best", "last"] = "best"
    """best or last: the policy that did best on validation traces, all warehouses together, or the one that
    training ended with. Warehouses paid for themselves may learn what harms all; the best is then from before
    they did, the last shows it."""
    robust: Robust | None = None
    """Shocks to demand in training and on validation traces, as robust.shocks=market; what the policy is told
    and the rules are tuned on stays as it is."""
    patience: Whole = 0
    """Validations without a better score before training stops early; 0: never."""
    validation_replications: Count = 128
    """Validation traces, at most; fewer where there are many products. 4,096 for pathwise, whose policies are
    too alike for less to tell apart, and 1,024 for iql, vdn and qmix."""

    @model_validator(mode="before")
    @classmethod
    def _own_defaults(cls, data: Any) -> Any:
        return _of_plugged(data) | data | _own_settings(data) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _head_of_the_algorithm(self) -> TrainSettings:
        if (self.head == "values") != (_of_plugged({"algorithm": self.algorithm}).get("head") == "values"):
            raise ValueError(
                f"head is {self.head} and algorithm {self.algorithm}; iql, vdn and qmix have the values "
                "head, and nobody else has"
            )
        return self

    @model_validator(mode="after")
    def _memory_of_the_algorithm(self) -> TrainSettings:
        if self.memory != "none" and self.head == "values":
            raise ValueError(
                f"memory is {self.memory} and algorithm {self.algorithm}, which learns from periods out of "
                "order; use algorithm=mappo or pathwise"
            )
        return self

    @model_validator(mode="after")
    def _tail_of_the_algorithm(self) -> TrainSettings:
        if self.robust is not None and self.robust.objective == "cvar" and self.algorithm != "pathwise":
            raise ValueError(
                f"robust.objective is cvar and algorithm {self.algorithm}; use algorithm=pathwise, whose "
                "batches are whole episodes, or objective mean"
            )
        return self

    @property
    def mix(self) -> float:
        """The reward mix in effect."""
        return (
            (0.0 if self.algorithm in ("ippo", "iql") else 1.0)
            if self.reward_mix is None
            else self.reward_mix
        )

    @property
    def critic_sees(self) -> str:
        """What the critic sees, in effect."""
        return self.critic or ("network" if self.algorithm == "mappo" else "local")

    @property
    def begins_at(self) -> Path | None:
        """The run that training begins where it ended."""
        return None if self.start in STARTS else Path(self.start)

    @property
    def plugged(self) -> list[str]:
        """Code of one's own that is named here."""
        return [name for name in (getattr(self, key) for key in PLUGGED) if is_own(name)]


def _of_plugged(data: dict[str, Any]) -> dict[str, Any]:
    """Defaults that are not those of the fields: an algorithm's, and those of what is one's own."""
    found: dict[str, Any] = {}
    for name in (data.get(key) for key in PLUGGED):
        if not isinstance(name, str):
            continue
        own = defaults(name) if is_own(name) else OWN_DEFAULTS.get(name, {})
        found |= own | ({"own": found.get("own", {}) | own["own"]} if "own" in own else {})
    return found


def _own_settings(data: dict[str, Any]) -> dict[str, Any]:
    """`own` in full: what is given there, and for the rest what DEFAULTS say."""
    known, given = _of_plugged(data).get("own", {}), data.get("own")
    if not isinstance(given, dict):
        return {}
    if strange := [key for key in given if key not in known]:
        raise ValueError(
            f"own.{strange[0]} is in no DEFAULTS of the code that is named "
            f"here{suggestion(str(strange[0]), known)}"
        )
    return {"own": known | given}
