"""Speed, measured: how fast training is against the usual ways of doing it, and what the sandbox costs."""
