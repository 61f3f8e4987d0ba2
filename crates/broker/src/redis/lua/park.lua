-- Parks a message under the id of its task, by which it is found again. Of several with one id, all but the first
-- are parked under longer names. Returns the name.
--
-- parked    sorted set: name; its time in ms
-- messages  hash: name; the list's suffix (for a priority step), newline, message
local function park(parked, messages, due, id, tag, message)
  local name = id
  while redis.call('HSETNX', messages, name, message) == 0 do
    name = name .. '\n' .. tag
  end
  redis.call('ZADD', parked, due, name)
  return name
end
