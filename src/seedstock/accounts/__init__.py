"""Users, organisations, tokens, sessions, the one permission function, and the audit log."""
