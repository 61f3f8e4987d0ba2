-- Puts parked messages whose time has come to the heads of their lists, and says how many.
--
-- parked, messages  as park.lua writes them
-- list              the queue's list of priority step 0
local function return_due(parked, messages, list, now)
  -- The last one pushed is the first one served, so the earliest comes last. When there are more than fit, the
  -- earliest come with the next call, and go before these.
  local names = redis.call('ZREVRANGEBYSCORE', parked, now, '-inf', 'LIMIT', 0, 500)
  if #names == 0 then
    return 0
  end
  for _, entry in ipairs(redis.call('HMGET', messages, unpack(names))) do
    if entry then
      local suffix_end = string.find(entry, '\n', 1, true)
      redis.call('RPUSH', list .. string.sub(entry, 1, suffix_end - 1), string.sub(entry, suffix_end + 1))
    end
  end
  redis.call('ZREM', parked, unpack(names))
  redis.call('HDEL', messages, unpack(names))
  return #names
end
