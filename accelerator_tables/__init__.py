"""What each accelerator supports, as JSON; read with importlib.resources.files("accelerator_tables")."""
