-- How many bytes of messages one call moves, about: Redis serves nobody else meanwhile. So many are enough; what is moved
-- in pieces is weighed after each.
local BYTES = 4 * 1024 * 1024

-- Puts parked messages whose time has come to the heads of their lists, and says how many.
--
-- parked, messages  as park.lua writes them
-- list              the queue's list of priority step 0
local function return_due(parked, messages, list, now)
  -- The last one pushed is the first one served, so the earliest comes last. When there are more than fit, the
  -- earliest come with the next call, and go before these.
  local names = redis.call('ZREVRANGEBYSCORE', parked, now, '-inf', 'LIMIT', 0, 500)
  local first, bytes = 1, 0
  while first <= #names and bytes < BYTES do
    -- As many again as have been moved, so that large ones are moved few at a time.
    local last = math.min(#names, first + math.max(4, math.min(first - 1, 128)) - 1)
    for _, entry in ipairs(redis.call('HMGET', messages, unpack(names, first, last))) do
      if entry then
        local suffix_end = string.find(entry, '\n', 1, true)
        redis.call('RPUSH', list .. string.sub(entry, 1, suffix_end - 1), string.sub(entry, suffix_end + 1))
        bytes = bytes + #entry
      end
    end
    redis.call('ZREM', parked, unpack(names, first, last))
    redis.call('HDEL', messages, unpack(names, first, last))
    first = last + 1
  end
  return first - 1
end
