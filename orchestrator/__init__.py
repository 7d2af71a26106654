"""The server of Bascule: front doors that authenticate, schedule, relay and commit."""
