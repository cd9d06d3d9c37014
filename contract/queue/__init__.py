"""The queue: messages that ask someone to try a chunk, and the hints that spare work. Nothing here is a record."""
