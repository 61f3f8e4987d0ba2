-- Takes those out of a task's line whose turn has come, at most so many, none after so many bytes, and counts their starts.
-- Returns the messages, and when the next turn is, in µs; nil when nobody is left in line.
--
-- interval          how far apart the starts are, in µs; nil when the task has no limit any more
-- parked, messages  as park.lua writes them
local function turns(gates, lines, parked, messages, task, interval, most, bytes, now, slack)
  local line, next, open = lines .. IN_LINE .. task, now, most
  if interval then
    next = gate(gates, task, interval, now, slack)
    open = math.min(most, math.floor((now - next) / interval) + 1)
  end
  local found, looked = {}, 0
  -- Those that have left the line otherwise still have their names in it.
  while #found < open and looked < 500 and bytes > 0 do
    local name = redis.call('ZPOPMIN', line)[1]
    if not name then
      break
    end
    looked = looked + 1
    local entry = redis.call('HGET', messages, name)
    if entry then
      redis.call('HDEL', messages, name)
      redis.call('ZREM', parked, name)
      found[#found + 1] = string.sub(entry, string.find(entry, '\n', 1, true) + 1)
      bytes = bytes - #entry
    end
  end
  if interval and #found > 0 then
    next = next + #found * interval
    shut(gates, task, next - interval, interval, now)
  end
  if redis.call('EXISTS', line) == 0 then
    redis.call('SREM', lines, task)
    return found
  end
  return found, next
end
