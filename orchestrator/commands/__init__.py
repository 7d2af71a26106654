"""The commands that speak to a server: thin, over the Python client and its terminal."""
