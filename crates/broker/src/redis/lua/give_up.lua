-- Puts parked messages of a queue that is given up back, whether their time has come or not: to the heads of its lists,
-- the earliest to be served first.
--
-- KEYS     1 schema, 2 parked messages' times, 3 parked messages, 4 list of step 0, 5 lines: nobody stands in one when
--          nothing is parked any more
-- ARGV     1 the schema that is known here
-- Returns  {schema of the keys, how many went back, how many are still parked}; when the schema is a newer one,
--          nothing was written
local schema = tonumber(redis.call('GET', KEYS[1]) or ARGV[1])
if schema > tonumber(ARGV[1]) then
  return {schema, 0, 0}
end
local returned = return_due(KEYS[2], KEYS[3], KEYS[4], '+inf')
local left = redis.call('ZCARD', KEYS[2])
if left == 0 then
  for _, task in ipairs(redis.call('SMEMBERS', KEYS[5])) do
    redis.call('DEL', KEYS[5] .. IN_LINE .. task)
  end
  redis.call('DEL', KEYS[5])
end
return {schema, returned, left}
