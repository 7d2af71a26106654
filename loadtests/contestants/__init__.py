"""Who is measured: Bascule on each runtime, and the plain things that it is measured beside."""
