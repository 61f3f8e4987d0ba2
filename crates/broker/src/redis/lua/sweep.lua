-- Finds the workers whose leases have ended, and ends those leases for good: from here on these workers write
-- nothing, and what they hold can be put back.
--
-- When nobody has swept for a while, the broker was away or all workers were. Then nobody could renew a lease, so
-- for the length of a lease none is ended; the time until which that lasts is kept here, so that all sweepers agree.
--
-- KEYS     1 sweep, 2 leases, 3 workers
-- ARGV     1 the sweeping worker, which is left out, 2 the longest gap in ms, 3 the lease's length in ms
-- Returns  for each swept worker: {name, what is known of it or false}; also those whose sweeper did not finish
local now = clock()
local last = tonumber(redis.call('HGET', KEYS[1], 'last'))
local grace = tonumber(redis.call('HGET', KEYS[1], 'grace')) or 0
if not last or now - last > tonumber(ARGV[2]) then
  grace = now + ARGV[3]
end
redis.call('HSET', KEYS[1], 'last', now, 'grace', grace)

local swept = {}
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now < grace and -1 or now)) do
  if worker ~= ARGV[1] then
    redis.call('ZADD', KEYS[2], -1, worker)
    swept[#swept + 1] = {worker, redis.call('HGET', KEYS[3], worker)}
  end
end
return swept
