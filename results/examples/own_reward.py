"""A reward of one's own: agents learn as if a lost customer hurt more than the scenario says; they are judged
by what it says.

From this folder:
    marl-inv train lost_sales --algorithm pathwise reward=own_reward:careful own.times=3
"""

import marl_inv

DEFAULTS = {"own": {"times": 3.0}}


def careful(moment, settings):
    """(K, N, B), by product, warehouse and replication: what the objective counts, with shortage counted so
    many times."""
    return moment.costs.reward - (settings.own["times"] - 1) * moment.costs.shortage


if __name__ == "__main__":
    problem = marl_inv.load_problem("lost_sales", ["horizon=60", "warm_up=10"])
    quick = {"model": "mlp", "decisions": 250_000, "validations": 5, "keep": "last"}
    for reward in (None, "own_reward:careful"):
        trained = marl_inv.train(problem, algorithm="pathwise", reward=reward, **quick)
        [score] = marl_inv.evaluate(problem, trained.policy)
        print(f"{reward or 'plain'}: cost {-score.reward.mean:.2f}, fill rate {score.fill_rate:.3f}")
