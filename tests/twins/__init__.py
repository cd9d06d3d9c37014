"""Storage and queue in memory: one suite runs over them and over the real ones."""
