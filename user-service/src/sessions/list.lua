-- ARGV: user. Answers session, device, created, used in turn, the one used last first.
local answer = {}
for _, session in ipairs(redis.call('ZREVRANGEBYSCORE', list_key(ARGV[1]), '+inf', '(' .. whole(now_ms))) do
  local known = redis.call('HMGET', session_key(session), 'device', 'created', 'used')
  if known[2] then
    answer[#answer + 1] = session
    answer[#answer + 1] = known[1] or ''
    answer[#answer + 1] = known[2]
    answer[#answer + 1] = known[3]
  end
end
return answer
