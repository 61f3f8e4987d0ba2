-- Adds to what is revoked. What is over goes, and of too many the oldest.
--
-- KEYS     1 schema, 2 what is revoked
-- ARGV     1 the schema that is known here, 2 how many ms a revocation is kept, 3 how many are kept; then what is
--          revoked
-- Returns  the schema of the keys: when it is a newer one, nothing was written
local schema = tonumber(redis.call('GET', KEYS[1]) or ARGV[1])
if schema > tonumber(ARGV[1]) then
  return schema
end
local now = clock()
local revoked = {}
for i = 4, #ARGV do
  revoked[#revoked + 1] = now + ARGV[2]
  revoked[#revoked + 1] = ARGV[i]
end
redis.call('ZADD', KEYS[2], unpack(revoked))
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - ARGV[3])
return schema
