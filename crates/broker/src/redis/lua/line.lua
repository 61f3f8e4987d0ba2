-- For scripts that let tasks start as often as their limits allow. See rates.rs.

-- What stands between the key of a queue's lines and a task's name in the key of that task's line.
local IN_LINE = '\6\22'

-- When the next start of a task may be, in µs. What is longer ago than the slack is not caught up.
local function gate(gates, task, now, slack)
  return math.max(tonumber(redis.call('HGET', gates, task)) or 0, now - slack)
end

-- Writes down when the next start may be; until then, and a minute more, that is kept. As whole numbers: Lua would write
-- large ones with an exponent.
local function shut(gates, task, next, now)
  redis.call('HSET', gates, task, string.format('%.0f', next))
  local keep = math.ceil((next - now) / 1000) + 60000
  if redis.call('PTTL', gates) < keep then
    redis.call('PEXPIRE', gates, string.format('%.0f', keep + 60000))
  end
end
