-- Counts what stands in queues.
--
-- KEYS     for each queue: parked messages, dead-letter list, consumers, then its lists
-- ARGV     1 what stands before a worker's name in the keys of held sets; then for each queue: how many lists,
--          what follows the worker's name in the keys of its held sets; last, how many ms away is soon
-- Returns  for each queue: {waiting, held by our workers, parked, of these soon due, dead, consumers}. What is parked and
--          due counts as waiting: the next worker that asks gets it
local now = clock()
local soon = now + ARGV[#ARGV]
local depths, at = {}, 1
for i = 2, #ARGV - 1, 2 do
  local lists = tonumber(ARGV[i])
  local due = redis.call('ZCOUNT', KEYS[at], '-inf', now)
  local ready, held = due, 0
  for list = at + 3, at + 2 + lists do
    ready = ready + redis.call('LLEN', KEYS[list])
  end
  local consumers = redis.call('SMEMBERS', KEYS[at + 2])
  for _, worker in ipairs(consumers) do
    held = held + redis.call('SCARD', ARGV[1] .. worker .. ARGV[i + 1])
  end
  local parked = redis.call('ZCARD', KEYS[at]) - due
  -- Most queues have nothing parked.
  local coming = parked > 0 and redis.call('ZCOUNT', KEYS[at], '(' .. now, soon) or 0
  depths[#depths + 1] = {ready, held, parked, coming, redis.call('LLEN', KEYS[at + 1]), #consumers}
  at = at + 3 + lists
end
return depths
