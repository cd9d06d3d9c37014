-- Extends the visibility timeout of a message, if it is still unacknowledged. Keys: unacked_index. Arguments: its
-- delivery tag.
local time = redis.call('TIME')
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then redis.call('ZADD', KEYS[1], time[1] + time[2] / 1e6, ARGV[1]) end
