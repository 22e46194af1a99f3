"""The simulator as a PettingZoo environment: every warehouse is an agent, and an episode is a batch of one.

    env = parallel_env("two_warehouses")
    observations, infos = env.reset(seed=0)
    while env.agents:
        actions = {agent: env.action_space(agent).sample() for agent in env.agents}
        observations, rewards, terminations, truncations, infos = env.step(actions)

Observation: a flat Box over product x fact (`view.fact_names`), in units. Action: a flat Box over product x
inbound lane, in units, then a promotion level for each product where the warehouse decides one, then a
reserve for each product where it may keep one; an agent that decides nothing (all its lanes may be reactive)
has an empty Box. Entries above `high` count as `high`: shares go by what is asked, so without that limit
whoever asked for most would take all. Where quantities are integer the Box is still of float32, and requests
and reserves are rounded to whole units. `observation_names` and `action_names` name every entry. Reward: what
the warehouse earned, or minus what it cost.

With `levels=J` the same entries are levels 0 to J - 1 (`decisions.OrderLevels`), in a MultiDiscrete, or in a
Discrete where an agent has one entry; `level_units` tells how much each asks for. With `flat=True` too, every
agent has a Discrete: number c chooses the levels `numpy.unravel_index(c, (J,) * entries)`, the last entry's
running fastest. Then every info, that of `reset` too, has an `action_mask`: for every entry of the action (of
a Discrete, for its numbers) an int8 array, 1 where the level makes sense now, as
`action_space(agent).sample(mask)` takes it. A lane that is closed this period, which agents learn before they
decide, leaves only level 0; nor does a level beyond what the lane can carry make sense. A masked level may be
given all the same: what can be shipped of it is.

Importing this module registers every scenario of the library with PettingZoo:
`pettingzoo.make("parallel", "marl_inv/two_warehouses-v0")`.
"""

from marl_inv.environment.environment import WarehouseEnv, env, parallel_env, raw_env, register_library

__all__ = ["WarehouseEnv", "env", "parallel_env", "raw_env", "register_library"]
