-- Records chunks as sent. Keys: sent. Arguments: the seconds after which Redis drops it, the chunks.
local time = redis.call('TIME')
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], time[1] + time[2] / 1e6, ARGV[i]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
