-- The record of revocations, common to all scripts. KEYS[1] is the stem of every key, so that they share a slot of a cluster:
--   <stem>:revocations       hash  run, floor, version
--   <stem>:revocation-log    sorted set, by version: "<session> <user> <unix second after which it may be forgotten>"
--   <stem>:revoked:<session> exists until then
-- A version is never used twice: it begins with the clock in microseconds and grows by one. When the server was restarted or is
-- another one (its run_id says so) it may have lost what it confirmed, so the record gets a new floor, above all versions before:
-- whoever knows only versions below the floor needs the whole.
local stem = KEYS[1]
local head, log = stem .. ':revocations', stem .. ':revocation-log'
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

local function whole(number)
  return string.format('%.0f', number)
end

local function server_run()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and string.match(info, 'run_id:(%x+)') or 'unknown'
end

-- Opens the record, once a script; answers floor and version.
local opened
local function open_record()
  if opened then return end
  opened = true
  local known = redis.call('HMGET', head, 'run', 'floor', 'version')
  local run = server_run()
  if known[1] == run and known[2] and known[3] then
    return tonumber(known[2]), tonumber(known[3])
  end
  local floor = math.max((tonumber(known[3] or '0') or 0) + 1, time[1] * 1000000 + time[2])
  local version = floor
  -- What it still has moves above the floor, in the same order.
  for _, entry in ipairs(redis.call('ZRANGE', log, 0, -1)) do
    version = version + 1
    redis.call('ZADD', log, whole(version), entry)
  end
  redis.call('HSET', head, 'run', run, 'floor', whole(floor), 'version', whole(version))
  return floor, version
end

-- Forgets the oldest entries that are over; a few, because each script does.
local function trim()
  for _, entry in ipairs(redis.call('ZRANGE', log, 0, 31)) do
    local forget_at = tonumber(string.match(entry, '(%d+)$'))
    if forget_at * 1000 >= now_ms then break end
    redis.call('ZREM', log, entry)
  end
end

-- Notes that a session ended. Twice is once.
local function revoke(session, user, forget_at)
  local life = forget_at - math.floor(now_ms / 1000)
  if life <= 0 then return end
  open_record()
  if redis.call('SET', stem .. ':revoked:' .. session, '1', 'EX', whole(life), 'NX') then
    local version = redis.call('HINCRBY', head, 'version', 1)
    redis.call('ZADD', log, whole(version), session .. ' ' .. user .. ' ' .. whole(forget_at))
    trim()
  end
end
