-- Keys: unacked_index, unacked.
local found, lost = {}, 0
local before = redis.call('TIME')[1] - ARGV[1]
for _, tag in ipairs(redis.call('ZRANGE', KEYS[1], '-inf', before, 'BYSCORE', 'LIMIT', 0, ARGV[2])) do
    local value = redis.call('HGET', KEYS[2], tag)
    if value and #tag <= 64 and #value <= tonumber(ARGV[3]) then
        table.insert(found, tag)
        table.insert(found, value)
    else
        redis.call('ZREM', KEYS[1], tag)
        redis.call('HDEL', KEYS[2], tag)
        if value then lost = lost + 1 end
    end
end
return {lost, found}
