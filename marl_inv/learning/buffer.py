"""A Tianshou replay buffer whose rows are period x replication, in torch storage on any device, written a whole batch at a time."""

from __future__ import annotations

import numpy as np
import torch
from tianshou.data import Batch, ReplayBuffer
from torch import Tensor


class TensorBuffer(ReplayBuffer):
    """Holds `periods` x `replications` rows; row `period * replications + replication`.

    Every key is one tensor (periods x replications, ...). Observations after a period are the next row's; only those after an
    episode's or the buffer's last period are stored apart, in `after`: period -> (replications, ...).
    """

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

    def end_here(self, after: Tensor) -> None:
        """Note what was observed after the period added last, because the next row does not tell."""
        self.after[self._size // self.replications - 1] = after

    def by_period(self, values: Tensor) -> Tensor:
        """(rows, ...) as (periods, replications, ...)."""
        return values.unflatten(0, (-1, self.replications))

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
        """Never: quantities are checked where they enter, and looking for NaN here would wait for the device."""
        return False

    def unfinished_index(self) -> np.ndarray:
        """The last row of every replication whose episode goes on beyond the buffer."""
        last = np.arange(max(self._size - self.replications, 0), self._size)
        done = self._meta.done[: self._size].cpu().numpy() if self._size else np.zeros(0, bool)
        return last[~done[last]] if len(last) else last
