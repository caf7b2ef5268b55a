"""Remotes: models that run elsewhere, which admins make usable here."""
