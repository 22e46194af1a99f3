"""Pictures of a network, and films of an episode."""
