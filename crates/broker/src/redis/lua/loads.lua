-- Lists what workers say of themselves.
--
-- KEYS     1 leases
-- ARGV     1 what stands before a worker's name in the keys of what they say
-- Returns  what each has said, of those that have a lease and have said something of late
local said = {}
for _, worker in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local load = redis.call('GET', ARGV[1] .. worker)
  if load then
    said[#said + 1] = load
  end
end
return said
