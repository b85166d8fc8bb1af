"""What training engines need in a trial besides the adapters of libraries of models."""
