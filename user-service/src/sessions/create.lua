-- ARGV: session, user, username, display_name, device, family, token, life (ms), sessions a user may have, access_seconds.
local session, user = ARGV[1], ARGV[2]
local life_ms, most, access_seconds = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
redis.call('HSET', session_key(session), 'user', user, 'username', ARGV[3], 'display_name', ARGV[4], 'device', ARGV[5],
  'created', whole(now_ms), 'used', whole(now_ms), 'family', ARGV[6], 'current', ARGV[7])
prolong(session, user, life_ms)
-- The one that was used last the longest ago makes room.
for _, old in ipairs(redis.call('ZRANGE', list_key(user), 0, -1 - most)) do
  if old ~= session then end_session(old, user, access_seconds) end
end
return 1
