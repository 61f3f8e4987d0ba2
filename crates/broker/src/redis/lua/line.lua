-- For scripts that let tasks start as often as their limits allow. See rates.rs.

-- What stands between the key of a queue's lines and a task's name in the key of that task's line.
local IN_LINE = '\6\22'

-- When the next start of a task may be, in µs: one interval after the last one. What is longer ago than the slack is not
-- caught up.
local function gate(gates, task, interval, now, slack)
  return math.max((tonumber(redis.call('HGET', gates, task)) or 0) + interval, now - slack)
end

-- Writes down when the last start was; until the next may be, and a minute more, that is kept. As whole numbers: Lua would
-- write large ones with an exponent.
local function shut(gates, task, last, interval, now)
  redis.call('HSET', gates, task, string.format('%.0f', last))
  local keep = math.ceil((last + interval - now) / 1000) + 60000
  if redis.call('PTTL', gates) < keep then
    redis.call('PEXPIRE', gates, string.format('%.0f', keep + 60000))
  end
end
