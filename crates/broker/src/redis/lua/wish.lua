-- Says what workers are to do.
--
-- KEYS     1 leases, then for each worker: what it is to do
-- ARGV     1 for how long that counts, in ms; then for each worker: its name, '1' when it is to drain and '0' when it is
--          to work
-- Returns  how many of them were told. Those whose lease was ended are not: their keys would outlive them
local now, told = clock(), 0
for i = 2, #KEYS do
  local worker, drains = ARGV[2 * i - 2], ARGV[2 * i - 1] == '1'
  if not drains then
    redis.call('DEL', KEYS[i])
    told = told + 1
  elseif remaining(KEYS[1], worker, now) then
    redis.call('SET', KEYS[i], 'drain', 'PX', ARGV[1])
    told = told + 1
  end
end
return told
