"""How envelopes travel: each transport turns bytes into a Channel and knows nothing about sessions."""
