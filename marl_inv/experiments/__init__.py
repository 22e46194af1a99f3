"""An experiment's file, its cells, running them, reading results, search, comparison."""
