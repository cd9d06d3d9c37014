-- Claims the next chunk that was never sent (`Queue.claim`). Keys: the model's queue, order and serving. Arguments: the
-- prefix of all keys, messages and chunks of a job per worker, the seconds after which Redis drops keys, WORKER_TTL,
-- how far a heartbeat may be in the future, and the most workers that count.
--
-- A job that has nothing left to send, or whose plan is invalid, is removed from the order. A job that has as many
-- chunks queued or leased as it may is skipped. Jobs are read a thousand at a time, which takes a few milliseconds.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local workers = redis.call('ZCOUNT', KEYS[3], now - ARGV[5], now + ARGV[6])
workers = math.max(1, math.min(workers, tonumber(ARGV[7])))
if redis.call('LLEN', KEYS[1]) >= ARGV[2] * workers then return false end
for from = 0, 9000, 1000 do
    local jobs = redis.call('ZRANGE', KEYS[2], from, from + 999)
    for _, job in ipairs(jobs) do
        local plan, sent = ARGV[1] .. 'plan:' .. job, ARGV[1] .. 'sent:' .. job
        local number, chunks = redis.pcall('HGET', plan, 'next'), redis.pcall('HGET', plan, 'chunks')
        number = type(number) == 'string' and tonumber(number)
        chunks = type(chunks) == 'string' and tonumber(chunks)
        if not number or not chunks or number < 0 or number >= chunks or number ~= math.floor(number) then
            redis.call('ZREM', KEYS[2], job)
        else
            local count = redis.pcall('ZCARD', sent)
            if type(count) == 'table' then
                redis.call('DEL', sent)
                count = 0
            end
            if count < ARGV[3] * workers then
                redis.call('HSET', plan, 'next', string.format('%d', number + 1))
                redis.call('ZADD', sent, now, string.format('%d', number))
                redis.call('EXPIRE', plan, ARGV[4])
                redis.call('EXPIRE', sent, ARGV[4])
                redis.call('EXPIRE', KEYS[2], ARGV[4])
                return {job, string.format('%d', number)}
            end
        end
    end
    if #jobs < 1000 then return false end
end
return false
