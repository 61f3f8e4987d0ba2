-- Puts an answer into the lists that are bound to its address. A list that nobody reads goes after a time.
--
-- KEYS     1 the exchange's bindings
-- ARGV     1 what stands before each key, 2 what stands between the parts of a binding, 3 routing key, 4 the binding
--          that kombu's clients have for this routing key, 5 how many ms the answer is kept, 6 answer
-- Returns  how many lists
local bindings = {ARGV[4]}
if redis.call('SISMEMBER', KEYS[1], ARGV[4]) == 0 then
  bindings = redis.call('SMEMBERS', KEYS[1])
end
local head, lists = ARGV[3] .. ARGV[2], 0
for _, binding in ipairs(bindings) do
  if string.sub(binding, 1, #head) == head then
    local _, pattern_end = string.find(binding, ARGV[2], #head + 1, true)
    if pattern_end then
      local list = ARGV[1] .. string.sub(binding, pattern_end + 1)
      redis.call('LPUSH', list, ARGV[6])
      -- A client that has asked for more gets more.
      if redis.call('PTTL', list) < tonumber(ARGV[5]) then
        redis.call('PEXPIRE', list, ARGV[5])
      end
      lists = lists + 1
    end
  end
end
return lists
