"""The wire of Bascule: envelopes, frames and the tables of message types, error codes and limits.

Standard library only. Imported by worker, server and clients; it lists what is served and nothing else.
"""
