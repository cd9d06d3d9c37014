-- Puts the name of a question on the list of a model (`Queue.ask`). Keys: the model's questions and serving. Arguments:
-- the name, how many may wait for each worker, the seconds after which Redis drops the list, WORKER_TTL, how far a
-- heartbeat may be in the future, and the most workers that count.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local workers = redis.call('ZCOUNT', KEYS[2], now - ARGV[4], now + ARGV[5])
if workers == 0 then return 'unserved' end
if redis.call('LLEN', KEYS[1]) >= ARGV[2] * math.min(workers, tonumber(ARGV[6])) then return 'full' end
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 'waits'
