"""Which answers of a job are trusted by the promise of another one. Pure."""
