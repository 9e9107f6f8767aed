"""Chats: templates, conversations with a cached prefix, and defence against forged markup."""
