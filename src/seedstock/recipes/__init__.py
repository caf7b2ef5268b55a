"""Recipes and what came of them: how a model is made, run records, and the judgement whether it was made again.

Pure code over given texts, folders and figures; it knows no database, no repository and no network.
"""
