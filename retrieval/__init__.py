"""Retrieval inside one prompt: pure and synchronous, text and vectors, no web."""
