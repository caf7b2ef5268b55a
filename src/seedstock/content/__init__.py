"""Large files: one logical file (SHA-256, size) with one or several physical representations."""
