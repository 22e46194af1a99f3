"""The command line, `marl-inv`: parses, calls one function, prints."""

from marl_inv.cli.app import app, main

__all__ = ["app", "main"]
