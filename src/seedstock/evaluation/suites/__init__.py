"""The suites that come with the hub: generated from a seed, so that they need no download and no fixed copy leaks."""
