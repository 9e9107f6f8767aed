"""Searching a folder of documents: readers, passages, an index that lasts, the search tool."""
