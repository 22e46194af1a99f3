"""A Tianshou replay buffer whose rows are period x replication, in torch storage on any device, written a
whole batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tianshou.data import Batch, ReplayBuffer
from torch import Tensor


class TensorBuffer(ReplayBuffer):
    """Holds `periods` x `replications` rows; row `period * replications + replication`.

    Every key is one tensor (periods x replications, ...). Observations after a period are the next row's;
    only those after an episode's or the buffer's last period are stored apart, in `after`: period ->
    (replications, ...).
    """

    _meta: Batch

    def __init__(self, periods: int, replications: int) -> None:
        super().__init__(size=periods * replications)
        self.periods, self.replications = periods, replications
        self.after: dict[int, Tensor] = {}

    def add_period(self, **columns: Tensor) -> None:
        """Write one period of all replications; a column is (replications, ...)."""
        first = self._size
        for key, column in columns.items():
            if key not in self._meta.get_keys():
                self._meta[key] = column.new_empty((self.maxsize, *column.shape[1:]))
            self._meta[key][first : first + self.replications] = column
        self._size += self.replications

    def begin(self) -> None:
        """Make room for what is collected next."""
        self.reset()

    def end_here(self, after: Tensor, over: bool = True) -> None:
        """Note what was observed after the period added last, because the next row does not tell; also
        whether the episode is over."""
        self.after[self._size // self.replications - 1] = after

    def by_period(self, values: Tensor) -> Tensor:
        """(rows, ...) as (periods, replications, ...)."""
        return values.unflatten(0, (-1, self.replications))

    def state(self) -> dict[str, Any]:
        """What must be kept between two collections: nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass

    def reset(self, keep_statistics: bool = False) -> None:
        self._size = self._insertion_idx = 0
        self.after = {}

    def __len__(self) -> int:
        return self._size

    def sample_indices(self, batch_size: int | None) -> np.ndarray:
        """All rows in order for 0, all rows shuffled for None, else that many at random."""
        if batch_size == 0:
            return np.arange(self._size)
        order = torch.randperm(self._size) if batch_size is None else torch.randint(self._size, (batch_size,))
        return order.numpy()

    def sample(self, batch_size: int | None) -> tuple[Batch, np.ndarray]:
        indices = self.sample_indices(batch_size)
        return self[slice(0, self._size) if batch_size == 0 else indices], indices

    def __getitem__(self, index: slice | int | np.ndarray | Tensor) -> Batch:
        rows = torch.from_numpy(index) if isinstance(index, np.ndarray) else index
        return Batch({key: self._meta[key][rows] for key in self._meta.get_keys()})

    def hasnull(self) -> bool:
        """Never: quantities are checked where they enter, and looking for NaN here would wait for the
        device."""
        return False

    def unfinished_index(self) -> np.ndarray:
        """The last row of every replication whose episode goes on beyond the buffer."""
        last = np.arange(max(self._size - self.replications, 0), self._size)
        done = self._meta.done[: self._size].cpu().numpy() if self._size else np.zeros(0, bool)
        return last[~done[last]] if len(last) else last


class TensorReplay(TensorBuffer):
    """The last `slots` observations of every replication; a sample covers them evenly and is drawn from the
    run's own generator.

    What is observed when an episode ends takes a slot in which nothing is done, so that what follows a slot
    is always in the next one.
    """

    def __init__(
        self, slots: int, replications: int, generator: torch.Generator, n_step: int, discount: float
    ) -> None:
        super().__init__(slots, replications)
        self.generator, self.n_step, self.discount = generator, n_step, discount
        self.at, self.acting = 0, [False] * slots

    def begin(self) -> None:
        """All that is old stays until it is overwritten."""

    def add_period(self, **columns: Tensor) -> None:
        self._write(columns)
        self.acting[self.at] = True
        self.at = (self.at + 1) % self.periods

    def end_here(self, after: Tensor, over: bool = True) -> None:
        self._write({"obs": after})
        self.acting[self.at] = False
        if over:
            self.at = (self.at + 1) % self.periods

    def _write(self, columns: dict[str, Tensor]) -> None:
        for key, column in columns.items():
            if key not in self._meta.get_keys():
                self._meta[key] = column.new_zeros((self.periods, *column.shape))
            self._meta[key][self.at] = column

    def __len__(self) -> int:
        return sum(self.acting) * self.replications

    def _ahead(self, slots: Sequence[int]) -> list[int]:
        """How many periods of the same episode follow one another from each slot on, at most `n_step`."""
        return [
            next(
                (n for n in range(1, self.n_step) if not self.acting[(slot + n) % self.periods]), self.n_step
            )
            for slot in slots
        ]

    def sample(self, batch_size: int | None) -> tuple[Batch, np.ndarray]:
        """`obs`, `act`, and of the periods ahead: their discounted `rew` in sum, `after`, what was observed
        then, and `factor`, what that counts for: the discount, 0 if the episode was terminated."""
        slots = [slot for slot, acts in enumerate(self.acting) if acts]
        rows, count = batch_size or len(self), len(slots)
        device = self._meta["rew"].device
        order = torch.cat(
            [torch.randperm(count, generator=self.generator, device=device) for _ in range(-(-rows // count))]
        )[:rows]
        column = torch.randint(self.replications, (rows,), generator=self.generator, device=device)
        row, ahead = (torch.tensor(each, device=device)[order] for each in (slots, self._ahead(slots)))
        reward = torch.zeros_like(self._meta["rew"][row, column])
        for n in range(self.n_step):
            now = self._meta["rew"][(row + n) % self.periods, column]
            reward = reward + torch.where((n < ahead).view(-1, 1, 1), self.discount**n * now, 0)
        ended = self._meta["terminated"][(row + ahead - 1) % self.periods, column]
        factor = torch.where(ended, 0, self.discount**ahead).to(reward)
        after = self._meta["obs"][(row + ahead) % self.periods, column]
        obs, act = (self._meta[key][row, column] for key in ("obs", "act"))
        return Batch(obs=obs, act=act, rew=reward, after=after, factor=factor), np.arange(rows)

    def state(self) -> dict[str, Any]:
        return {
            "at": self.at,
            "acting": self.acting,
            "columns": {key: self._meta[key] for key in self._meta.get_keys()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.at, self.acting = state["at"], list(state["acting"])
        for key, column in state["columns"].items():
            self._meta[key] = column.clone()
