-- The messages that wait on a queue, but for those that are too long. Key: the queue. Arguments: the most messages, the
-- most bytes of one.
local found = {}
for _, value in ipairs(redis.call('LRANGE', KEYS[1], -ARGV[1], -1)) do
    if #value <= tonumber(ARGV[2]) then table.insert(found, value) end
end
return found
