"""Carries out what the core decides; knows ports, not adapters."""
