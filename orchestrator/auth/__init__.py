"""Who is speaking: what a client shows becomes a Principal."""
