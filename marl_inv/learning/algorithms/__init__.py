"""One file an algorithm, each with `build`."""
