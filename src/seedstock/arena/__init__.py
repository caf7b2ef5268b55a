"""The arena: models compared side by side, blind votes, and what they say of the models' strengths."""
