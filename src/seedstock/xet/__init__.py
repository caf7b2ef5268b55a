"""Xet: content-defined chunks, xorbs and shards, as the Hugging Face client sends them."""
