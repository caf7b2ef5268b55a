"""Making a model one's own: the methods, run as stages over folders. Knows nothing of repositories."""
