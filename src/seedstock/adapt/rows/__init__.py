"""Rows of a dataset out of files as people have them. Whatever the bytes are, only HubErrors come out."""
