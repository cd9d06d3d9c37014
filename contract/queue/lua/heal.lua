local removed = 0
for i, key in ipairs(KEYS) do
    local answer
    if ARGV[i] == 'HGET' then answer = redis.pcall('HGET', key, '') else answer = redis.pcall(ARGV[i], key) end
    if type(answer) == 'table' and answer.err and string.find(answer.err, 'WRONGTYPE') then
        removed = removed + redis.call('DEL', key)
    end
end
return removed
