"""A policy meets a trace: the problem, what is seen, what may be decided, and the loop over periods."""
