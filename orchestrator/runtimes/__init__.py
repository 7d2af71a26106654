"""Makes and ends workers: Docker and bubblewrap, each beside a pure renderer of `SandboxSpec`, and a scripted twin."""
