-- Keys: unacked_index, unacked, and the queue that it goes back to.
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call(ARGV[3], KEYS[3], ARGV[2])
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
