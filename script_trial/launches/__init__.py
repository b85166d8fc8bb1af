"""Launch scripts, run by bash as they are, with their launchers made to start few processes, which are watched."""
