"""Weights from one format or element type to another, a piece of a tensor at a time; pure functions over files."""
