"""Rules that read configurations of accelerate."""
