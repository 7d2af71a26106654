"""Bascule's Python client."""
