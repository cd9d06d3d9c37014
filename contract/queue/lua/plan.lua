-- Plans a job (`Queue.plan`). Keys: plan, order of the model. Arguments: the job, the next chunk, the number of chunks,
-- when the job is due, the seconds after which Redis drops the keys. An existing plan stays if its next chunk is valid.
local number = tonumber(redis.call('HGET', KEYS[1], 'next') or -1)
local chunks = tonumber(ARGV[3])
if not number or number < 0 or number > chunks or number ~= math.floor(number) then
    redis.call('HSET', KEYS[1], 'next', ARGV[2])
end
redis.call('HSET', KEYS[1], 'chunks', chunks)
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[5])
