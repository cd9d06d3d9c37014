-- The unacknowledged messages whose visibility timeout is over: how many invalid ones were removed, and a list of
-- delivery tags and values. Keys: unacked_index, unacked. Arguments: the timeout, the most messages, the most bytes of
-- one.
local overdue, removed = {}, 0
local before = redis.call('TIME')[1] - ARGV[1]
for _, tag in ipairs(redis.call('ZRANGE', KEYS[1], '-inf', before, 'BYSCORE', 'LIMIT', 0, ARGV[2])) do
    local value = redis.call('HGET', KEYS[2], tag)
    if value and #tag <= 64 and #value <= tonumber(ARGV[3]) then
        table.insert(overdue, tag)
        table.insert(overdue, value)
    else
        redis.call('ZREM', KEYS[1], tag)
        redis.call('HDEL', KEYS[2], tag)
        if value then removed = removed + 1 end
    end
end
return {removed, overdue}
