-- Takes the answers to requests of our own, the oldest first. One that is too long by itself is thrown away.
--
-- KEYS     1 the list of answers
-- ARGV     1 how many at most, 2 how many bytes at most
-- returns  the answers
local taken, left = {}, tonumber(ARGV[2])
while #taken < tonumber(ARGV[1]) do
  local answer = redis.call('RPOP', KEYS[1])
  if not answer then
    break
  end
  if #answer <= left then
    taken[#taken + 1] = answer
    left = left - #answer
  elseif #answer <= tonumber(ARGV[2]) then
    redis.call('RPUSH', KEYS[1], answer)
    break
  end
end
return taken
