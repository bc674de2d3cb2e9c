-- Sessions, common to their scripts (after revocations/record.lua):
--   <stem>:session:<id>     hash: user, username, display_name, device, created, used (ms), family, current,
--                           parent, parent_until, void, void_until (ms)
--   <stem>:sessions:<user>  sorted set of the user's sessions, by the time (ms) at which they expire
-- All tokens are digests: `family` of what the session's tokens share, `current` of the one that is good, `parent` of the one
-- before, `void` of successors of a forgiven parent whose place another one took, each behind a blank.
local function session_key(session)
  return stem .. ':session:' .. session
end

local function list_key(user)
  return stem .. ':sessions:' .. user
end

local function has(list, digest)
  return string.find(list .. ' ', ' ' .. digest .. ' ', 1, true) ~= nil
end

local function size(list)
  local _, blanks = string.gsub(list, ' ', '')
  return blanks
end

local function end_session(session, user, access_seconds)
  redis.call('DEL', session_key(session))
  redis.call('ZREM', list_key(user), session)
  revoke(session, user, math.floor(now_ms / 1000) + access_seconds)
end

-- Puts off the end of a session and of the list that names it.
local function prolong(session, user, life_ms)
  redis.call('PEXPIRE', session_key(session), life_ms)
  redis.call('ZADD', list_key(user), whole(now_ms + life_ms), session)
  redis.call('ZREMRANGEBYSCORE', list_key(user), '-inf', whole(now_ms))
  redis.call('PEXPIRE', list_key(user), life_ms)
end
