"""Replications: a recipe of a hosted model is run again, and the hub judges whether that makes the model."""
