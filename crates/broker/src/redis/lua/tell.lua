-- Takes note of what a worker says of itself.
--
-- KEYS     1 leases, 2 what the worker says
-- ARGV     1 worker, 2 what it says, 3 for how long that counts, in ms
-- Returns  1, or 0 when the lease is lost: then nothing was written
if not remaining(KEYS[1], ARGV[1], (clock())) then
  return 0
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1
