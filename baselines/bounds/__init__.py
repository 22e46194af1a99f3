"""What nobody can beat: perfect information, complete pooling, the exact optimum, and the programmes they
solve."""
