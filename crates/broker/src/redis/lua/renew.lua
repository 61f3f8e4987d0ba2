-- Makes the messages that a worker holds young again, so that Celery's workers do not take them for abandoned.
-- Never makes an entry: one that is gone was restored or acknowledged.
--
-- KEYS     1 leases, 2 unacked_index, then the worker's held sets
-- ARGV     1 worker, 2 what stands before the sequence number in its tags
-- Returns  how many were renewed; 0 when the lease is lost or has ended
local now, seconds = clock()
local left = remaining(KEYS[1], ARGV[1], now)
if not left or left <= 0 then
  return 0
end
local renewed = 0
for i = 3, #KEYS do
  local held = redis.call('SMEMBERS', KEYS[i])
  -- unpack has a limit of some thousands.
  for first = 1, #held, 500 do
    local renewals = {}
    for at = first, math.min(first + 499, #held) do
      renewals[#renewals + 1] = seconds
      renewals[#renewals + 1] = ARGV[2] .. held[at]
    end
    redis.call('ZADD', KEYS[2], 'XX', unpack(renewals))
  end
  renewed = renewed + #held
end
return renewed
