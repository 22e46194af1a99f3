"""A report's numbers as CSV."""

from __future__ import annotations

import csv
import io

from marl_inv.common.files import as_csv, safe_cell
from marl_inv.experiments.results import Results

# As tables


def tables_csv(results: Results) -> str:
    """One row for every policy on every scenario, with all digits; gains are positive where the policy is
    better."""
    return as_csv(results.records())


def samples_csv(results: Results) -> str:
    """What every seed of every policy earned or paid on every trace (or product, of a data file), per
    period."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["scenario", "policy", "seed", "sample", "measured", "result"])
    for outcome in results.outcomes:
        measured, sign = outcome.problem.measured, -1 if outcome.problem.measured == "cost" else 1
        for seed, samples in zip(outcome.seeds, (sign * outcome.samples).tolist(), strict=True):
            told = [safe_cell(outcome.scenario), safe_cell(outcome.policy), seed if outcome.trained else ""]
            writer.writerows([*told, number, measured, result] for number, result in enumerate(samples))
    return file.getvalue()
