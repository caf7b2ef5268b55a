"""Running models: engine processes, the supervisor that owns them, and what web workers call."""
