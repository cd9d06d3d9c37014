-- A heartbeat. Keys: workers, serving of the model. Arguments: the worker's name, its fields as JSON without the
-- opening brace, WORKER_TTL, and the seconds after which Redis drops the key.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
redis.call('HSET', KEYS[1], ARGV[1], '{"seen": ' .. string.format('%.6f', now) .. ', ' .. ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[4])
