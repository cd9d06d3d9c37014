-- Acknowledges a message. Keys: unacked_index, unacked. Arguments: its delivery tag.
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
