"""Merging: weights put together from other weights, a piece of a tensor at a time. numpy only."""
