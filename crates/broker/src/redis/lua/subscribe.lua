-- Writes down from which queues a worker takes, before it takes from another one: who puts its messages back learns it from
-- here.
--
-- KEYS     1 leases, 2 workers, then the consumers of each of its queues
-- ARGV     1 worker, 2 what is known of the worker
-- Returns  1; 0 when the lease has run out, false when it is lost
local refused = refusal(KEYS[1], ARGV[1], (clock()))
if refused ~= nil then
  return refused
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
for i = 3, #KEYS do
  redis.call('SADD', KEYS[i], ARGV[1])
end
return 1
