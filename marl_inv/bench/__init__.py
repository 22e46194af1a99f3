"""How fast, beside what."""
