"""Background jobs: a durable queue in the hub's own database, and the workers that empty it."""
