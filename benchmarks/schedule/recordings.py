"""Operations to learn from and to judge by: from a file of recordings, or made up."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import NormalDist

_PARTS = 10  # of an interval in which an operation ended: one duration in the middle of each


@dataclass(frozen=True, slots=True)
class Recording:
    """One operation: its kind, and what a poller knows of its duration, in seconds."""

    kind: str
    low: float  # when it was last seen running
    high: float  # when it was first seen ended
    exact: float | None = None

    @property
    def durations(self) -> tuple[float, ...]:
        """Its possible durations, equally likely."""
        if self.exact is not None:
            return (self.exact,)
        part = (self.high - self.low) / _PARTS
        return tuple(self.low + part * (i + 0.5) for i in range(_PARTS))


def read_recordings(path: Path) -> list[Recording]:
    """Return the operations of a CSV file, in its order.

    Its columns are `operation_class`, `last_seen_running_s` (empty: never), `first_seen_done_s` and
    `exact_s` (empty: unknown).
    """
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Recording(
                kind=row["operation_class"],
                low=float(row["last_seen_running_s"] or 0),
                high=float(row["first_seen_done_s"]),
                exact=float(row["exact_s"]) if row["exact_s"] else None,
            )
            for row in csv.DictReader(file)
        ]


@dataclass(frozen=True, slots=True)
class Kind:
    """A made-up kind: its durations are log-normal, and so are those of the share that fails."""

    name: str
    count: int
    median: float  # seconds
    sigma: float
    failing: float = 0.0  # the share that ends after `fails_at`
    fails_at: float = 3.0  # the median of those, seconds


# In the proportions of a subscription that creates and deletes much and quickly, and a few slow
# resources. Medians and spreads are round numbers near what Azure's documentation leads to expect.
SYNTHETIC = (
    Kind("storageAccounts/create", 300, 18, 0.25),
    Kind("networkSecurityGroups/create", 150, 1, 0.8),
    Kind("publicIPAddresses/create", 150, 2, 0.7),
    Kind("virtualMachines/create", 200, 60, 0.5, failing=0.05),
    Kind("virtualMachines/delete", 80, 45, 0.5),
    Kind("resourceGroups/delete", 200, 150, 1.0),
    Kind("servers/databases/create", 80, 70, 0.4),
    Kind("redisEnterprise/create", 60, 480, 0.2, failing=0.08),
    Kind("redisEnterprise/databases/create", 40, 25, 0.9),
    Kind("redis/create", 40, 870, 0.15),
    Kind("managedClusters/create", 50, 280, 0.3, failing=0.05),
    Kind("managedInstances/create", 15, 14_000, 0.2),
    *(Kind(f"rare/{i}", 3, 4 * 1.3**i, 0.6) for i in range(24)),
)
_SEED = 2026


def synthetic_recordings() -> list[Recording]:
    """Return the operations of `SYNTHETIC` in a random order, as polled every 10 s."""
    random = Random(_SEED)  # noqa: S311 - not for cryptography
    recordings: list[Recording] = []
    for kind in SYNTHETIC:
        for i in range(kind.count):
            quantile = NormalDist().inv_cdf((i + 0.5) / kind.count)
            is_failure = random.random() < kind.failing
            median = kind.fails_at if is_failure else kind.median
            duration = median * math.exp(kind.sigma * quantile)
            low = 10 * (duration // 10)
            recordings.append(Recording(kind.name, low, low + 10))
    random.shuffle(recordings)
    return recordings
