"""Shell scripts: what their commands launch, and how one is ported."""
