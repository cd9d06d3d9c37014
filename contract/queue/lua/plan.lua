-- What is planned of a job is kept, if it is a number of one of its chunks or of the one behind the last.
local number = tonumber(redis.call('HGET', KEYS[1], 'next') or -1)
local chunks = tonumber(ARGV[3])
if not number or number < 0 or number > chunks or number ~= math.floor(number) then
    redis.call('HSET', KEYS[1], 'next', ARGV[2])
end
redis.call('HSET', KEYS[1], 'chunks', chunks)
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[5])
