"""What Redis runs as one: scripts over the hints of jobs, and over who is there. Times are Redis' own.

They read what anybody may have written: a number that is none counts as unknown.
"""

from __future__ import annotations

_ANNOUNCE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
redis.call('HSET', KEYS[1], ARGV[1], '{"seen": ' .. string.format('%.6f', now) .. ', ' .. ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[4])
"""

# What is planned of a job is kept, if it is a number of one of its chunks or of the one behind the last.
_PLAN = """
local number = tonumber(redis.call('HGET', KEYS[1], 'next') or -1)
local chunks = tonumber(ARGV[3])
if not number or number < 0 or number > chunks or number ~= math.floor(number) then
    redis.call('HSET', KEYS[1], 'next', ARGV[2])
end
redis.call('HSET', KEYS[1], 'chunks', chunks)
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[5])
"""

# A job in the order that has nothing to send any more, or that is none of ours, leaves it. One that has as much on its
# way as it may have stays, and the next ones are looked at: a thousand at a time, which takes a few milliseconds.
_CLAIM = """
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
"""

_NOTE = """
local time = redis.call('TIME')
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], time[1] + time[2] / 1e6, ARGV[i]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
"""

_LEASE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local until_ = redis.call('ZSCORE', KEYS[1], ARGV[1])
local owner = redis.call('HGET', KEYS[2], ARGV[1])
local since = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[1]) or 0)
until_ = tonumber(until_ or 0)
local believed = since <= now and until_ > now and until_ <= since + ARGV[5]
if believed and owner and owner ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[3], now, ARGV[1])
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[4]) end
return 1
"""

# Keys: those of a lease; for a chunk that has its part also `sent` and `plan`. Then 1 means: this was the last.
_END = """
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
"""

_TOUCH = """
local time = redis.call('TIME')
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then redis.call('ZADD', KEYS[1], time[1] + time[2] / 1e6, ARGV[1]) end
"""

#: By name, for `RedisQueue`.
SCRIPTS = {
    "announce": _ANNOUNCE,
    "claim": _CLAIM,
    "end": _END,
    "lease": _LEASE,
    "note": _NOTE,
    "plan": _PLAN,
    "touch": _TOUCH,
}
