"""The tables, a module for each group of nouns; `schema` has them all."""
