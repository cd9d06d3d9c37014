-- Ends a lease, unless another owner has it. Keys: lease, owner, since; if the chunk has its part also sent and plan:
-- then 1 means that it was the job's last. Arguments: the chunk, the owner.
if KEYS[4] then redis.call('ZREM', KEYS[4], ARGV[1]) end
local owner = redis.call('HGET', KEYS[2], ARGV[1])
if not owner or owner == ARGV[2] then
    redis.call('ZREM', KEYS[1], ARGV[1])
    redis.call('HDEL', KEYS[2], ARGV[1])
    redis.call('ZREM', KEYS[3], ARGV[1])
end
if not KEYS[5] then return 0 end
local number = tonumber(redis.call('HGET', KEYS[5], 'next') or -1)
local chunks = tonumber(redis.call('HGET', KEYS[5], 'chunks') or -1)
if not number or not chunks or number < 0 or chunks < 0 then return 1 end
return number >= chunks and redis.call('ZCARD', KEYS[4]) == 0 and 1 or 0
