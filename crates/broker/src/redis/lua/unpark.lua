-- Puts parked messages of a queue that is given up back, whether their time has come or not: to the heads of its lists,
-- the earliest to be served first.
--
-- KEYS     1 schema, 2 parked messages, 3 list of step 0
-- ARGV     1 the schema that is known here
-- Returns  {schema of the keys, how many went back, how many are still parked}; when the schema is a newer one,
--          nothing was written
local schema = tonumber(redis.call('GET', KEYS[1]) or ARGV[1])
if schema > tonumber(ARGV[1]) then
  return {schema, 0, 0}
end
local returned = return_due(KEYS[2], KEYS[3], '+inf')
return {schema, returned, redis.call('ZCARD', KEYS[2])}
