-- ARGV: the floor and the version that the caller knows, entries at most. Answers floor, version, then version and entry in turn.
-- Another floor than the caller knows: from the beginning.
local floor, version = open_record()
trim()
local since = tonumber(ARGV[1]) == floor and ARGV[2] or '-inf'
local found = redis.call('ZRANGEBYSCORE', log, '(' .. since, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
local answer = { whole(floor), whole(version) }
for i = 1, #found, 2 do
  answer[#answer + 1] = whole(tonumber(found[i + 1]))
  answer[#answer + 1] = found[i]
end
return answer
