-- Removes the keys that have the wrong type; returns how many. Arguments: for each key a command that fails on that
-- type.
local removed = 0
for i, key in ipairs(KEYS) do
    local answer
    if ARGV[i] == 'HGET' then answer = redis.pcall('HGET', key, '') else answer = redis.pcall(ARGV[i], key) end
    if type(answer) == 'table' and answer.err and string.find(answer.err, 'WRONGTYPE') then
        removed = removed + redis.call('DEL', key)
    end
end
return removed
