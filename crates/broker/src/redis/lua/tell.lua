-- Takes note of what a worker says of itself, and tells it what it is to do.
--
-- KEYS     1 leases, 2 what the worker says, 3 what it is to do
-- ARGV     1 worker, 2 what it says, 3 for how long that counts, in ms
-- Returns  1 when it is to drain, and else 0. When the lease is lost nothing was written
if not remaining(KEYS[1], ARGV[1], (clock())) then
  return 0
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return redis.call('EXISTS', KEYS[3])
