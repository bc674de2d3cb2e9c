-- ARGV: user, which (this, listed, others), session, access_seconds. Answers how many ended.
--   this: ends it, known or not: whoever asks holds a token of it.   listed: only if it is one of the user's.
--   others: all of the user's but this one.
local user, which, session, access_seconds = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if which == 'others' then
  local ended = 0
  for _, other in ipairs(redis.call('ZRANGE', list_key(user), 0, -1)) do
    if other ~= session then
      end_session(other, user, access_seconds)
      ended = ended + 1
    end
  end
  return ended
end
if which == 'listed' and not redis.call('ZSCORE', list_key(user), session) then return 0 end
end_session(session, user, access_seconds)
return 1
