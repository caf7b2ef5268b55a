"""Benchmarks: `make bench`. Ratios measured in one run on one machine; off by default in tests."""
