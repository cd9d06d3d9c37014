-- Records a message as taken. Keys: unacked_index, unacked. Arguments: its delivery tag, its value.
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] + time[2] / 1e6, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
