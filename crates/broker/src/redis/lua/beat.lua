-- Renews a worker's lease, also one that has ended, as long as nobody has swept it.
--
-- KEYS     1 leases
-- ARGV     1 worker, 2 the lease's length in ms
-- Returns  1, or 0 when the lease is lost
local now = clock()
if not remaining(KEYS[1], ARGV[1], now) then
  return 0
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return 1
