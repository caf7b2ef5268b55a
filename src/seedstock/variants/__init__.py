"""Variants of hosted models: asked for, made by stages on pinned inputs, published with their pedigree."""
