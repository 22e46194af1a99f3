"""Actors and critics: which networks there are, how they are put together, and how a trained one is loaded to
play."""
