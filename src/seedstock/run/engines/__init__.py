"""Inference engines behind one protocol; each runs in child processes of the supervisor."""
