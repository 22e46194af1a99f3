"""Actor, critic, and a trained actor as a policy that plays anywhere, without Tianshou."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from marl_inv.common.documents import read_yaml
from marl_inv.common.errors import InputError
from marl_inv.common.plugins import check_allowed, imported
from marl_inv.common.sealed import read_sealed, write_sealed
from marl_inv.episodes.decisions import OrderLevels
from marl_inv.episodes.problem import AnyScenario, Problem, as_problem
from marl_inv.episodes.view import View
from marl_inv.models.distributions import PerAgentLevels, PerAgentNormal, PerAgentValues
from marl_inv.models.encoding import Beginning, Encoding, Vocabulary
from marl_inv.models.heads import AmountHead, Decider, LevelHead, ValueHead
from marl_inv.models.mlp import JointMLPTrunk, MLPTrunk
from marl_inv.models.settings import ModelSettings
from marl_inv.network import TransferNetwork
from marl_inv.simulator import Decision

POLICY = "policy.safetensors"

HEADS = {"levels": LevelHead, "values": ValueHead}
"""Of order levels; any other asks for amounts."""

BEGINNINGS = {kind.__name__: kind for kind in get_args(Beginning)}


def make_trunk(
    encoding: Encoding, settings: ModelSettings, inputs: int, whole_network: bool = False
) -> nn.Module:
    """The network from features (R, K, N, inputs) to (R, K, N, hidden), upon which an actor puts a head and a
    critic its value.

    One's own is a class, or a function that makes a module, of the same three arguments; `encoding` has what
    is fixed: `warehouse` (K, N, S) and `lane` (K, E, G) features, and the `network`. A critic of the
    `whole_network` adds the mean over warehouses by itself.
    """
    if settings.model == "graph":
        from marl_inv.models.graph import (
            GraphTrunk,
        )  # PyG takes seconds to import; only a graph network pays for it

        return GraphTrunk(encoding, settings, inputs)
    if settings.model == "mlp":
        return (JointMLPTrunk if whole_network else MLPTrunk)(encoding, settings, inputs)
    return _own_trunk(encoding, settings, inputs)


def _own_trunk(encoding: Encoding, settings: ModelSettings, inputs: int) -> nn.Module:
    """That of one's own, once it has shown that its shapes are right."""
    name, (products, warehouses, _) = settings.model, encoding.warehouse.shape
    trunk = imported(name)(encoding, settings, inputs)
    if not isinstance(trunk, nn.Module):
        raise InputError(f"{name}: makes {type(trunk).__name__}; make a torch.nn.Module")
    with torch.no_grad():
        given = trunk.to(encoding.warehouse).eval()(
            encoding.warehouse.new_zeros(2, products, warehouses, inputs)
        )
    shape = (2, products, warehouses, settings.hidden)
    if not isinstance(given, Tensor) or given.shape != shape:
        found = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise InputError(f"{name}: gives {found}; give a tensor {shape}: rows, products, warehouses, hidden")
    return trunk.train()


def encode(
    problem: Problem, beginning: Beginning, settings: ModelSettings, vocabulary: Vocabulary | None = None
) -> Encoding:
    """The encoding that the settings' head needs, of a policy that begins as `beginning`, in the problem's
    own features or given ones."""
    encoding = Encoding.of(problem, beginning, vocabulary)
    if settings.head not in ("levels", "values"):
        return encoding
    return replace(encoding, order_levels=OrderLevels.of(problem.network, settings.levels))


class Actor(nn.Module):
    """An observation to a distribution over raw actions; one set of weights for all products."""

    def __init__(self, encoding: Encoding, settings: ModelSettings) -> None:
        super().__init__()
        self.settings, self.features = settings, encoding.features
        self.trunk = make_trunk(encoding, settings, encoding.features + settings.remembered)
        self.gru = nn.GRUCell(encoding.features, settings.hidden) if settings.remembered else None
        self.head = HEADS.get(settings.head, AmountHead)(encoding, settings)

    def forward(
        self, observation: Float[Tensor, "R K N FD"], memory: Float[Tensor, "R K N H"] | None = None
    ) -> PerAgentNormal | PerAgentLevels | PerAgentValues:
        features, facts = observation[..., : self.features], observation[..., self.features :]
        seen = features if memory is None else torch.cat([features, memory], -1)
        return self.head(self.trunk(seen), features, facts)

    def remember(
        self, observation: Float[Tensor, "R K N FD"], memory: Float[Tensor, "R K N H"] | None
    ) -> Float[Tensor, "R K N H"] | None:
        """Every warehouse's memory after what it observes now; None before an episode, and for an actor
        without any."""
        if self.gru is None:
            return None
        features = observation[..., : self.features].flatten(0, 2)
        before = (
            features.new_zeros(len(features), self.gru.hidden_size)
            if memory is None
            else memory.flatten(0, 2)
        )
        return self.gru(features, before).unflatten(0, observation.shape[:3])

    def recall(self, observations: Float[Tensor, "T R K N FD"]) -> Float[Tensor, "T R K N H"] | None:
        """The memory in every period of an episode observed from its beginning."""
        memories: list[Tensor | None] = [None]
        for observation in observations:
            memories.append(self.remember(observation, memories[-1]))
        known = [memory for memory in memories if memory is not None]
        return None if self.gru is None else torch.stack(known)


class Critic(nn.Module):
    """The value of every product at every warehouse: local, or with the whole network in sight."""

    def __init__(self, encoding: Encoding, settings: ModelSettings, whole_network: bool) -> None:
        super().__init__()
        self.features, self.network = encoding.features, encoding.network
        self.trunk = make_trunk(encoding, settings, encoding.features, whole_network)
        self.pooled = (
            nn.Linear(settings.hidden, settings.hidden) if whole_network and settings.model != "mlp" else None
        )
        self.value = nn.Linear(settings.hidden, 1)

    def forward(self, observation: Float[Tensor, "R K N FD"]) -> Float[Tensor, "R K N"]:
        x = self.trunk(observation[..., : self.features])
        if self.pooled is not None:
            x = x + torch.tanh(self.pooled(self.network.mean(x, 2)))
        return self.value(x).squeeze(-1)


class LearnedPolicy:
    """A trained actor that plays its mean action, or its likeliest levels."""

    knows = "stock within its hops, demand distribution"

    def __init__(
        self, name: str, actor: Actor, encoding: Encoding, promotion: Float[Tensor, "K N"] | None
    ) -> None:
        self.name = name
        self.actor, self.encoding, self.promotion = actor, encoding, promotion
        self.decide = Decider(encoding, promotion, actor.settings.head)

    def __repr__(self) -> str:
        settings, learned = self.actor.settings, sum(weights.numel() for weights in self.actor.parameters())
        return f"LearnedPolicy({self.name}: {settings.model}, {learned:,} weights, deciding on {self.knows})"

    def start(self, network: TransferNetwork, replications: int) -> None:
        return None

    def act(self, view: View, memory: Tensor | None) -> tuple[Decision, Tensor | None]:
        with torch.no_grad():
            observation = self.encoding(view)
            memory = self.actor.remember(observation, memory)
            return self.decide(self.actor(observation, memory).mode, view), memory

    def save(self, folder: Path, settings: ModelSettings, said: Mapping[str, str] | None = None) -> None:
        """Write weights, starting levels, what is needed to build it again, and what else is `said`; tensors
        and JSON only, sealed."""
        tensors = {f"actor.{name}": tensor for name, tensor in self.actor.state_dict().items()} | _start_of(
            self.encoding.beginning
        )
        if self.promotion is not None:
            tensors["promotion"] = self.promotion
        network = self.encoding.network
        about = {
            "name": self.name,
            "settings": settings.model_dump_json(include=set(ModelSettings.model_fields), exclude_none=True),
            "warehouses": json.dumps(network.warehouses),
            "beginning": type(self.encoding.beginning).__name__,
            "vocabulary": json.dumps(asdict(self.encoding.vocabulary)),
        }
        write_sealed(folder / POLICY, tensors, about | dict(said or {}))


RUN = ("scenario", "training", "code")
"""What makes a training run what it is, of what its run.yaml says."""


def run_digest(run: Mapping[str, Any]) -> str:
    """Of what a run is of."""
    told = json.dumps({key: run[key] for key in RUN if key in run}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _check_run(file: Path, digest: str | None) -> None:
    """Raise InputError for a policy that lies in the folder of another run than it was trained in."""
    begun = file.parent / "run.yaml"
    if digest is not None and begun.is_file() and run_digest(read_yaml(begun).data) != digest:
        raise InputError(
            f"{file}: was trained in another run than {begun} tells of, or that was changed; give the "
            "folder as `marl-inv train` left it"
        )


def _start_of(beginning: Beginning) -> dict[str, Tensor]:
    """The numbers that were tuned."""
    return {
        field.name: getattr(beginning, field.name)
        for field in fields(beginning)
        if field.name in ("levels", "cover")
    }


def model_of(path: str | Path) -> ModelSettings:
    """What is set about the model of a run folder's (or checkpoint file's) policy. Raises InputError."""
    file = Path(path) / POLICY if Path(path).is_dir() else Path(path)
    about, _ = read_sealed(file, FINISHED)
    try:
        return ModelSettings.model_validate_json(about["settings"])
    except (KeyError, ValueError) as error:
        raise _not_ours(file, error) from error


FINISHED = "give a folder in which `marl-inv train` has finished"


def _not_ours(file: Path, error: Exception) -> InputError:
    return InputError(
        f"{file}: was not written by marl_inv ({type(error).__name__}); give a run folder of `marl-inv train`"
    )


def load_policy(path: str | Path, problem: AnyScenario, allow_code: bool = False) -> LearnedPolicy:
    """The policy of a run folder (or checkpoint file), ready to play `problem`.

    A graph network plays networks it was not trained on, from newsvendor levels there, in the features of its
    training. Loading runs no code, unless the policy has a network of one's own, which it only names: its
    module is imported if `allow_code`. Raises InputError when the file is missing or damaged, or when the
    policy does not fit the scenario.
    """
    problem = as_problem(problem)
    file = Path(path) / POLICY if Path(path).is_dir() else Path(path)
    about, tensors = read_sealed(file, FINISHED)
    try:
        settings = ModelSettings.model_validate_json(about["settings"])
        name, trained_on, beginning = (
            about["name"],
            tuple(json.loads(about["warehouses"])),
            BEGINNINGS[about["beginning"]].of(problem),
        )
        vocabulary = Vocabulary(
            **json.loads(about["vocabulary"]) | {"facts": tuple(json.loads(about["vocabulary"])["facts"])}
        )
        start, promotion = (
            {key: tensors.pop(key) for key in _start_of(beginning)},
            tensors.pop("promotion", None),
        )
    except (KeyError, ValueError) as error:
        raise _not_ours(file, error) from error
    check_allowed(settings.model, str(file), allow_code)
    _check_run(file, about.get("run"))
    network, scenario = problem.network, problem.scenario
    if trained_on == network.warehouses and all(
        start[key].shape == tensor.shape for key, tensor in _start_of(beginning).items()
    ):
        beginning = replace(beginning, **{key: tensor.to(network.size) for key, tensor in start.items()})
    else:
        promotion = None
    try:
        encoding = encode(problem, beginning, settings, vocabulary)
    except InputError as error:
        raise InputError(
            f"{file}: does not fit {scenario.name}: {error}; play the scenario it was trained on, or train "
            "again"
        ) from error
    actor = Actor(encoding, settings).to(network.size)
    weights = {key.removeprefix("actor."): tensor for key, tensor in tensors.items()}
    for key, expected in actor.state_dict().items():
        given = weights.get(key)
        if given is None or given.shape != expected.shape:
            found = "nothing" if given is None else tuple(given.shape)
            raise InputError(
                f"{file}: holds a {settings.model} policy of {len(trained_on)} warehouses, which does not "
                f"fit {scenario.name} "
                f"({key} is {found} and should be {tuple(expected.shape)}); play the scenario it was "
                "trained on, or train again"
            )
    actor.load_state_dict({key: weights[key] for key in actor.state_dict()})
    return LearnedPolicy(
        name, actor.eval(), encoding, None if promotion is None else promotion.to(network.size)
    )
