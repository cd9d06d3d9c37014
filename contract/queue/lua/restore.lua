-- Puts an unacknowledged message back on its queue; 0 if it was acknowledged or restored already. Keys: unacked_index,
-- unacked, the queue. Arguments: the delivery tag, the message, LPUSH or RPUSH.
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call(ARGV[3], KEYS[3], ARGV[2])
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
