"""The terminal: a prompt on a session, and programs run in one. What tenants say is made harmless before it is shown.

The prompt needs the extra `cli` (prompt_toolkit, Pygments); the rest does without.
"""
