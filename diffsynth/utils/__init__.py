"""What scripts use around a pipeline."""
