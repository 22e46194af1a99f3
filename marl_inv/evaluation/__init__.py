"""What play amounts to: measures, scores, intervals."""
