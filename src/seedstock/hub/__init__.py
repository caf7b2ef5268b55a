"""Repositories: names, refs, commits, trees, listings. Real git objects, held in SQL."""
