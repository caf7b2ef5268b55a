"""The family tree: what repos declare, what their weights show, and what both together say."""
