"""Patterns for which the NPU has a faster fused form: one a file, and below them what finds and rewrites them all."""
