-- Reads what is revoked.
--
-- KEYS     1 schema, 2 revoked ids, 3 revoked stamps
-- ARGV     1 the schema that is known here, 2 how many ms a revocation is kept, 3 since when in ms; 0 for all
-- Returns  {schema of the keys, now in ms, ids, stamps}, the oldest first; nothing is read when the schema is a newer
--          one
local schema = tonumber(redis.call('GET', KEYS[1]) or ARGV[1])
local now = clock()
if schema > tonumber(ARGV[1]) then
  return {schema, now, {}, {}}
end
-- Scores say until when a revocation is kept.
local from = math.max(now + 1, ARGV[3] + ARGV[2])
return {
  schema, now,
  redis.call('ZRANGEBYSCORE', KEYS[2], from, '+inf'),
  redis.call('ZRANGEBYSCORE', KEYS[3], from, '+inf'),
}
