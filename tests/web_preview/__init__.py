"""Every page with sample data, to look at; not part of the package."""
