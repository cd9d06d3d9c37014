"""Which rows can be scored: texts, ids, groups. Rows come as the formats give them, and leave as tables of a chunk."""
