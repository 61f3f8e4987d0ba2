-- Gives kombu's lock back, unless it has run out and is another's.
--
-- KEYS     1 the lock
-- ARGV     1 our token
-- Returns  1, or 0 when it was not ours any more
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
