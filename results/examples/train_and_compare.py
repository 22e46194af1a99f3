"""Train a policy by the gradient through the simulator for a few seconds, and see what it is worth on traces
it has not seen."""

from __future__ import annotations

import marl_inv

if __name__ == "__main__":
    problem = marl_inv.load_problem("lost_sales", ["horizon=60", "warm_up=10"])
    trained = marl_inv.train(
        problem,
        algorithm="pathwise",
        decisions=500_000,
        model="mlp",
        validations=5,
        validation_replications=256,
    )
    print(f"on validation traces: {trained.percent_over_baseline:+.1f}%")
    compared = marl_inv.compare(problem, ["tuned_capped_order_up_to", trained.policy])
    for score in compared.scores[-2:]:
        gain = score.gain_in_percent_over(compared.reference)
        print(
            f"{score.policy}: {gain.mean:+.2f}% ({gain.low:+.2f} to {gain.high:+.2f}) over "
            f"{compared.reference.policy}, p = {gain.p_value:.3g}"
        )
