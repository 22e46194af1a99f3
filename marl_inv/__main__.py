"""`python -m marl_inv` is `marl-inv`."""

from marl_inv.cli.app import main

main()
