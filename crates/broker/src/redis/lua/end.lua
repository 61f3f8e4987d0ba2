-- Ends a worker's lease for good, whether it has run out or not: the worker is known to have ended, or says so
-- itself.
--
-- KEYS     1 schema, 2 leases, 3 workers, 4 what has begun, 5 what had begun when messages were taken
-- ARGV     1 the schema that is known here, 2 worker, 3 '1' when it says so itself: no attempt counts as lost
-- Returns  {schema of the keys, 1 when the worker has a lease and else 0, what is known of the worker or false}; when
--          the schema is a newer one, nothing was written
local schema = tonumber(redis.call('GET', KEYS[1]) or ARGV[1])
if schema > tonumber(ARGV[1]) or not redis.call('ZSCORE', KEYS[2], ARGV[2]) then
  return {schema, 0, false}
end
redis.call('ZADD', KEYS[2], -1, ARGV[2])
if ARGV[3] == '1' then
  redis.call('DEL', KEYS[4], KEYS[5])
end
return {schema, 1, redis.call('HGET', KEYS[3], ARGV[2])}
