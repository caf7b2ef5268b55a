"""Small real implementations of our ports, for tests."""
