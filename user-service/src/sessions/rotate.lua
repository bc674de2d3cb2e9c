-- ARGV: session, family, token, next token, username, display_name, life (ms), grace (ms), forgiven at most, access_seconds.
-- Answers a word: unknown, rotated, void, crowded, reused.
local session, family, token, following = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local grace_until, most = whole(now_ms + tonumber(ARGV[8])), tonumber(ARGV[9])
local key = session_key(session)
local known = redis.call('HMGET', key, 'user', 'family', 'current', 'parent', 'parent_until', 'void', 'void_until')
local user, current = known[1], known[3]
-- Without the secret of the family it is a guess, and a guess must not be able to end a session.
if not user or known[2] ~= family then return 'unknown' end
local void = known[6] and now_ms < tonumber(known[7]) and known[6] or ''
if token == current then
  redis.call('HSET', key, 'parent', current, 'parent_until', grace_until, 'current', following)
elseif token == known[4] and now_ms < tonumber(known[5]) then
  -- Its answer may have been lost: another successor takes the place of the one that nobody has used.
  if size(void) >= most then return 'crowded' end
  redis.call('HSET', key, 'void', void .. ' ' .. current, 'void_until', grace_until, 'current', following)
elseif has(void, token) then
  -- Its answer was only late.
  return 'void'
else
  end_session(session, user, tonumber(ARGV[10]))
  return 'reused'
end
redis.call('HSET', key, 'used', whole(now_ms), 'username', ARGV[5], 'display_name', ARGV[6])
prolong(session, user, tonumber(ARGV[7]))
return 'rotated'
