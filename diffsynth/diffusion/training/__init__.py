"""Training: what its flags are, what it minimises, and the loop that does it. Knows no particular model."""
