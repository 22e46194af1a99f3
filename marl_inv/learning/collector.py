"""A Tianshou collector over the batched simulator: whole batches in, whole batches out, and no word with the
host inside the loop."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box
from tianshou.data import Batch, CollectStats, SequenceSummaryStats
from tianshou.data.collector import BaseCollector

from marl_inv.chance.trace import Trace
from marl_inv.episodes.policy import Policy
from marl_inv.episodes.problem import Problem, period_weights
from marl_inv.episodes.rollout import Moment, play
from marl_inv.evaluation.metrics import MEASURES, MONEY, Totals, score
from marl_inv.learning.buffer import TensorBuffer
from marl_inv.learning.checkpoint import from_fields, record
from marl_inv.learning.foresight import Foresight
from marl_inv.learning.joint_policy import JointPolicy, MeanActions
from marl_inv.learning.reward import Reward, objective
from marl_inv.simulator import State


@dataclass(kw_only=True)
class InventoryStats(CollectStats):
    """What a collection amounted to, per period of the whole network; every float becomes a curve in
    TensorBoard."""

    money: dict[str, float] = field(default_factory=dict)
    """Profit or cost, whichever is the objective, and its parts."""
    units: dict[str, float] = field(default_factory=dict)
    fill_rate: float = 0.0
    percent_over_baseline: float = 0.0
    """0 while training: only validation plays the same traces as the baseline."""


def stats_of(problem: Problem, record: Totals, steps: int, episodes: int) -> InventoryStats:
    means = {name: float(record.per_period(name).sum((0, 1)).mean()) for name in MEASURES}
    reward, measured = means.pop("reward"), problem.scenario.measured
    objective = {measured: -reward if measured == "cost" else reward}
    parts = {name: value for name, value in means.items() if value != 0}
    returns, lengths = (
        record.sums["reward"].sum((0, 1)).cpu().numpy(),
        np.full(record.replications, record.periods),
    )
    return InventoryStats(
        n_collected_steps=steps,
        n_collected_episodes=episodes,
        returns=returns,
        returns_stat=SequenceSummaryStats.from_sequence(returns),
        lens=lengths,
        lens_stat=SequenceSummaryStats.from_sequence(lengths),
        money=objective | {name: value for name, value in parts.items() if name in MONEY},
        units={name: value for name, value in parts.items() if name not in MONEY}
        | {"transferred": float(record.transferred.mean())},
        fill_rate=float(record.fill_rate.mean()),
    )


class _NoEnvironments:
    """What Tianshou's base collector asks of environments; the simulator plays all replications itself."""

    def __init__(self, replications: int) -> None:
        self.replications = replications
        self.action_space = Box(-np.inf, np.inf, (1,))

    def __len__(self) -> int:
        return self.replications

    def close(self) -> None:
        pass


class _Acting:
    """The policy being trained, as the simulator's loop sees it; its memory is what the buffer wants to know,
    and the policy's own."""

    name, knows = "in training", ""

    def __init__(self, policy: JointPolicy) -> None:
        self.policy = policy

    def start(self, network: Any, replications: int) -> None:
        return None

    def act(self, view: Any, memory: Any) -> Any:
        features = self.policy.encoding(view)
        result = self.policy(Batch(obs=features), None if memory is None else memory[-1])
        return self.policy.decide(result.act, view), (features, result.act, result.logp, result.state)


def _is_last(moment: Moment) -> bool:
    return moment.view.period == len(moment.trace) - 1


class TraceCollector(BaseCollector[InventoryStats]):
    """What Tianshou's trainer asks of a collector, over traces instead of environments; `_play_on` is the
    difference between them."""

    policy: JointPolicy
    buffer: TensorBuffer

    def __init__(
        self,
        problem: Problem,
        policy: JointPolicy,
        periods: int,
        replications: int,
        seed: int,
        buffer: TensorBuffer | None = None,
    ) -> None:
        self.problem, self.replications, self.seed = problem, replications, seed
        super().__init__(
            policy,
            _NoEnvironments(replications),  # pyright: ignore[reportArgumentType]  # all that is asked of them
            TensorBuffer(periods, replications) if buffer is None else buffer,
            collect_stats_class=InventoryStats,
            raise_on_nan_in_buffer=False,
        )

    @abstractmethod
    def _play_on(self, n_step: int | None) -> InventoryStats:
        """Play, and say what it amounted to."""

    def collect(self, *args: Any, **kwargs: Any) -> InventoryStats:
        stats = super().collect(*args, **kwargs)
        self.collect_step += stats.n_collected_steps
        self.collect_episode += stats.n_collected_episodes
        self.collect_time += stats.collect_time
        return stats

    @torch.no_grad()
    def _collect(
        self, n_step: int | None = None, n_episode: int | None = None, **unused: Any
    ) -> InventoryStats:
        return self._play_on(n_step)

    def _validate_buffer(self) -> None:
        assert isinstance(self.buffer, TensorBuffer)

    def reset_env(self, gym_reset_kwargs: dict[str, Any] | None = None) -> tuple[Any, Any]:
        return None, None

    def state(self) -> dict[str, Any]:
        """What is needed to go on from here; a checkpoint keeps it."""
        return {
            "collect_step": self.collect_step,
            "collect_episode": self.collect_episode,
            "collect_time": self.collect_time,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.collect_step, self.collect_episode, self.collect_time = (
            state[f"collect_{what}"] for what in ("step", "episode", "time")
        )


class RolloutCollector(TraceCollector):
    """Plays traces of the training stream, a stretch of `n_step / replications` periods at a time, into a
    TensorBuffer.

    Rewards are scaled, and count from the `usual` (K, N), or else 0. With a `baseline`, what it earns on the
    same trace is subtracted: it does not depend on the actions, so the optimum stays, and most of the noise
    of demand goes. A `critic_encoding` is of what the critic sees, if not what the actor does.
    """

    def __init__(
        self,
        problem: Problem,
        policy: JointPolicy,
        periods: int,
        replications: int,
        seed: int,
        reward_scale: torch.Tensor,
        baseline: Policy | None,
        critic_encoding: Foresight | None = None,
        buffer: TensorBuffer | None = None,
        usual: torch.Tensor | None = None,
        reward: Reward = objective,
    ) -> None:
        super().__init__(problem, policy, periods, replications, seed, buffer)
        self.reward_scale, self.baseline, self.critic_encoding, self.reward = (
            reward_scale,
            baseline,
            critic_encoding,
            reward,
        )
        self.usual = torch.zeros_like(problem.network.size) if usual is None else usual
        self._begun = 0
        self._playing: Iterator[tuple[Moment, torch.Tensor]] = iter(())
        self._reached: tuple[int, State] | None = None

    def reset_env(self, gym_reset_kwargs: dict[str, Any] | None = None) -> tuple[Any, Any]:
        """Leave the episodes under way; the next collection starts new ones, on new traces."""
        self._playing, self._reached = iter(()), None
        return None, None

    def state(self) -> dict[str, Any]:
        """Also how many batches of episodes were begun, and where the latest stands: the period to play next,
        and stock and pipeline then. A buffer that every collection fills anew is left out, and the baseline's
        episode can be played again."""
        reached = self._reached and {"period": self._reached[0], "state": record(self._reached[1])}
        return super().state() | {"begun": self._begun, "reached": reached, "buffer": self.buffer.state()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.buffer.restore(state["buffer"])
        self._begun, reached = state["begun"], state["reached"]
        if reached is not None:
            self._reached = reached["period"], from_fields(State, reached["state"], self.reward_scale.device)
            self._playing = self._episodes(self._trace(self._begun - 1), self._reached)

    def _play_on(self, n_step: int | None) -> InventoryStats:
        assert n_step is not None, "collect by steps: n_step = periods x replications"
        played = self.gather(n_step // self.replications)
        finished = sum(_is_last(moment) for moment in played)
        return stats_of(self.problem, score(played), n_step, finished * self.replications)

    def gather(self, periods: int) -> list[Moment]:
        """Play on, into the buffer. Nothing in here reads a value back from the device."""
        self.buffer.begin()
        played: list[Moment] = []
        for _ in range(periods):
            following = next(self._playing, None)
            if following is None:
                self._playing = self._episodes(self._trace(self._begun))
                self._begun += 1
                following = next(self._playing)
            self._store(*following)
            played.append(following[0])
        latest, self._reached = played[-1], None
        if not _is_last(latest):
            self._end(latest)
            self._reached = latest.view.period + 1, latest.state
        return played

    def _trace(self, batch: int) -> Trace:
        first = batch * self.replications
        return self.problem.trace("train", self.seed, range(first, first + self.replications))

    def _episodes(
        self, trace: Trace, begin: tuple[int, State] | None = None
    ) -> Iterator[tuple[Moment, torch.Tensor]]:
        """Every period, or those from a given state on, with its reward, above the baseline's on the same
        trace where there is one."""
        ours = play(self.problem, _Acting(self.policy), trace, True, begin)
        if self.baseline is None:
            yield from ((moment, self.reward(moment)) for moment in ours)
            return
        theirs = islice(play(self.problem, self.baseline, trace, True), begin[0] if begin else 0, None)
        for moment, reference in zip(ours, theirs, strict=True):
            yield moment, self.reward(moment) - self.reward(reference)

    def _store(self, moment: Moment, reward: torch.Tensor) -> None:
        features, action, logp, _ = moment.memory
        last, finite = _is_last(moment), moment.view.known.periods_left is not None
        flag = torch.zeros(self.replications, dtype=torch.bool, device=features.device)
        own = (
            {}
            if self.critic_encoding is None
            else {"critic_obs": self.critic_encoding.foresee(moment.view, moment.trace)}
        )
        self.buffer.add_period(
            obs=features,
            act=action,
            logp=logp,
            rew=(reward.permute(2, 0, 1) - self.usual) / self.reward_scale,
            terminated=flag | (last and finite),
            truncated=flag | (last and not finite),
            done=flag | last,
            **own,
        )
        if last:
            self._end(moment)

    def _end(self, moment: Moment) -> None:
        view, foresight = moment.following_view, self.critic_encoding
        self.buffer.end_here(
            self.policy.encoding(view) if foresight is None else foresight.foresee(view, moment.trace),
            _is_last(moment),
        )


class ValidationCollector(TraceCollector):
    """Plays the policy's mean actions on the same validation traces every time, next to the baseline's level.

    `record` is of the latest time.
    """

    def __init__(
        self, problem: Problem, policy: JointPolicy, replications: int, seed: int, baseline: Policy
    ) -> None:
        super().__init__(problem, policy, 1, replications, seed)
        self.trace = problem.trace("validate", seed, range(replications))
        with torch.no_grad():
            self.baseline_stats = self._stats(play(problem, baseline, self.trace))

    def _play_on(self, n_step: int | None) -> InventoryStats:
        stats = self._stats(play(self.problem, MeanActions(self.policy), self.trace, trusted=True))
        stats.percent_over_baseline = self.percent_over_baseline(float(stats.returns.mean()))
        return stats

    @torch.no_grad()
    def percent_now(self) -> float:
        """Over the baseline, of the policy as it is."""
        return self._play_on(None).percent_over_baseline

    def percent_over_baseline(self, mean_return: float) -> float:
        """0 where the baseline earns exactly nothing."""
        baseline = float(self.baseline_stats.returns.mean())
        return 100 * (mean_return - baseline) / abs(baseline) if baseline else 0.0

    def _stats(self, moments: Iterator[Moment]) -> InventoryStats:
        self.record = record = score(moments, period_weights(self.problem.scenario, len(self.trace)))
        return stats_of(
            self.problem, record, len(self.trace) * self.trace.replications, self.trace.replications
        )
