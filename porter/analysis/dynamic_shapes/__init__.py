"""What makes the NPU wait for the host, or compile for a new shape: only where a program comes by again and again."""
