"""All luck, drawn before an episode."""
