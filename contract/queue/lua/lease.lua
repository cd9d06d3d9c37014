-- Acquires or renews a lease; 0 if another owner has it. Keys: lease, owner, since. Arguments: the chunk, the owner,
-- the seconds, the seconds after which Redis drops the keys, LONGEST_LEASE. A lease that starts in the future (the
-- clock was set back), or is longer than any that a worker takes, is not valid.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local expires = redis.call('ZSCORE', KEYS[1], ARGV[1])
local owner = redis.call('HGET', KEYS[2], ARGV[1])
local since = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[1]) or 0)
expires = tonumber(expires or 0)
local valid = since <= now and expires > now and expires <= since + ARGV[5]
if valid and owner and owner ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[3], now, ARGV[1])
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[4]) end
return 1
