"""Chats: histories of conversations, kept for the account that had them."""
