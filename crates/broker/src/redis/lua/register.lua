-- Registers a worker's lease.
--
-- KEYS     1 schema, 2 leases, 3 workers, then for each of its queues: the consumers
-- ARGV     1 the schema that is known here, 2 worker, 3 the lease's length in ms, 4 what is known of the worker
-- Returns  the schema of the keys: when it is a newer one, nothing was written; 0 when this worker was swept
local schema = tonumber(redis.call('GET', KEYS[1]) or ARGV[1])
if schema > tonumber(ARGV[1]) then
  return schema
end
local ends = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[2]))
if ends and ends < 0 then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[2], ARGV[4])
for i = 4, #KEYS do
  redis.call('SADD', KEYS[i], ARGV[2])
end
redis.call('ZADD', KEYS[2], clock() + ARGV[3], ARGV[2])
return schema
