-- Puts parked messages whose time has come to the heads of their lists, and says how many.
--
-- parked  sorted set: tag, newline, the list's suffix (for a priority step), newline, message; its time in ms
-- list    the queue's list of priority step 0
local function return_due(parked, list, now)
  -- The last one pushed is the first one served, so the earliest comes last. When there are more than fit, the
  -- earliest come with the next call, and go before these.
  local members = redis.call('ZREVRANGEBYSCORE', parked, now, '-inf', 'LIMIT', 0, 500)
  for _, member in ipairs(members) do
    local tag_end = string.find(member, '\n', 1, true)
    local suffix_end = string.find(member, '\n', tag_end + 1, true)
    local suffix = string.sub(member, tag_end + 1, suffix_end - 1)
    redis.call('RPUSH', list .. suffix, string.sub(member, suffix_end + 1))
  end
  if #members > 0 then
    redis.call('ZREM', parked, unpack(members))
  end
  return #members
end
