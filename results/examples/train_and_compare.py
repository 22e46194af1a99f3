"""Train a policy by the gradient through the simulator for a few seconds, and see what it is worth on traces it has not seen."""

from __future__ import annotations

from marl_inv import load_problem
from marl_inv.evaluate import evaluate
from marl_inv.experiment import policy_named, training_settings
from marl_inv.learning.train import train

if __name__ == "__main__":
    problem = load_problem("lost_sales", ["horizon=60", "warm_up=10"])
    settings = training_settings(algorithm="pathwise", decisions=500_000, model="mlp", validations=5, validation_replications=256, seed=0)
    reference = policy_named("tuned_order_up_to", problem)
    trained = train(problem, settings, baseline=reference)
    print(f"on validation traces: {trained.percent_over_baseline:+.1f}%")
    learned, capped, tuned = evaluate(problem, [trained.policy, policy_named("tuned_capped_order_up_to", problem), reference])
    for score in (learned, capped):
        gain = score.gain_in_percent_over(tuned)
        print(f"{score.policy}: {gain.mean:+.2f}% ({gain.low:+.2f} to {gain.high:+.2f}) over {tuned.policy}, p = {gain.p_value:.3g}")
