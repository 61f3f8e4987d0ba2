-- Chords, counted as Celery 5.7 does: on the same keys, with the same meaning, so that its workers and ours count
-- one chord together. The store's own scripts and the broker's commit include this fragment.
--
-- A chord's keys are its group's key, and that with a suffix:
--
--   group    string: the saved GroupResult, if the header holds more than plain tasks
--   .s       string: how many parts there are;  .t  string: how many were added by the parts themselves
--   .j       sorted set: what the parts have given, by their places
--   .d       set: the names of the parts that were counted, so that a second run of one is not
--   .c       string: the claim of whoever may send the body; 'done' for a while after it was sent

-- Begins a chord. One that is sent again under its old id is another run of it.
--
-- expires  how long is waited for the parts, in seconds; '0' for ever
-- saved    the GroupResult, or ''
local function chord_start(group, size, expires, saved)
  local function set(key, value)
    if expires == '0' then
      redis.call('SET', key, value)
    else
      redis.call('SET', key, value, 'EX', expires)
    end
  end
  redis.call('DEL', group .. '.c')
  set(group .. '.s', size)
  if saved ~= '' then
    set(group, saved)
  end
end

-- Whether a chord's keys hold what they should, or nothing. chord_part finds that out itself, for callers that have
-- not written anything before it.
local function chord_fits(group)
  for suffix, kind in pairs({['.s'] = 'string', ['.t'] = 'string', ['.c'] = 'string', ['.j'] = 'zset', ['.d'] = 'set'}) do
    local held = redis.call('TYPE', group .. suffix).ok
    if held ~= kind and held ~= 'none' then
      return false
    end
  end
  return true
end

-- Counts a part, and claims the body when it completes the chord. Says 1 when the claim is the caller's, 0 when
-- there is nothing more to do, 2 when a key holds something else: then nothing was written.
--
-- name     the part's, in .d
-- score    its place, '+inf' without one
-- member   what it has given
-- expires  how long is waited for the others, in seconds; '0' for ever
-- adds     the ids of tasks that it adds to the chord, as a JSON array; '' for none. In .d each has its id and '+', as
--          no part has: it adds once
-- claim    how long a claim lasts, in ms
-- token    the claim: begins with the part's name and ':', as Celery's do not. A claim of the same part, from an
--          earlier run of it, is taken over: that run's message has come back, so nobody else will send the body
local function chord_part(group, name, score, member, adds, expires, claim, token)
  local j, t, s, d, c = group .. '.j', group .. '.t', group .. '.s', group .. '.d', group .. '.c'
  local owner, counted = redis.pcall('GET', c), redis.pcall('SISMEMBER', d, name)
  local count, added, size = redis.pcall('ZCARD', j), redis.pcall('GET', t), redis.pcall('GET', s)
  for _, answer in ipairs({owner, counted, count, added, size}) do
    if type(answer) == 'table' then
      return 2
    end
  end
  if owner == 'done' then
    return 0
  end
  if adds ~= '' and tonumber(added or 0) then
    for _, id in ipairs(cjson.decode(adds)) do
      if redis.call('SADD', d, id .. '+') == 1 then
        added = redis.call('INCR', t)
      end
    end
  end
  if counted == 0 then
    redis.call('ZADD', j, score, member)
    redis.call('SADD', d, name)
    count = redis.call('ZCARD', j)
  end
  if expires ~= '0' then
    for _, key in ipairs({j, t, s, d, group}) do
      redis.call('EXPIRE', key, expires)
    end
  end
  size, added = tonumber(size), tonumber(added or 0)
  if not size or not added or count ~= size + added then
    return 0
  end
  if owner and string.sub(owner, 1, #name + 1) ~= name .. ':' then
    return 0
  end
  redis.call('SET', c, token, 'PX', claim)
  return 1
end

-- Whether the body may still be sent by this claim. One that has run out and that nobody else has taken is as good,
-- as long as the chord is there.
local function chord_claimed(group, token)
  local owner = redis.pcall('GET', group .. '.c')
  return owner == token or (not owner and redis.call('EXISTS', group .. '.s') == 1)
end

-- The body was sent, or never will be. A part that comes late finds that out.
--
-- done  for how long, in seconds
local function chord_finish(group, done)
  redis.call('DEL', group .. '.j', group .. '.t', group .. '.s', group .. '.d')
  redis.call('SET', group .. '.c', 'done', 'EX', done)
end
