"""Verifiable rewards: functions of a registry, `(prompt, completion, row)` to a number."""
