"""Seedstock: a self-hosted home for open models."""

__version__ = "0.1.0"
