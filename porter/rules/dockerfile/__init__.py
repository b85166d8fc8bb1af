"""Rules about Dockerfiles."""
