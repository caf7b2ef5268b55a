"""Serves repos to git clients: dulwich's wire pieces over objects and refs in SQL.

dulwich's own `UploadPackHandler` asks its store for one object at a time, which is one query each.
Here the commit graph is read whole, trees level by level, and stored objects are copied into the pack
as they are: they are already compressed the way packs want them.
"""
