-- Takes parked messages by the ids of their tasks, before their time, and writes down that this worker holds them,
-- as receive.lua does.
--
-- KEYS     1 leases, 2 unacked, 3 unacked_index, then for each of the Q queues: held set, parked messages' times,
--          parked messages
-- ARGV     1 worker, 2 what stands before the sequence number in its tags, 3 the first sequence number, 4 Q, then
--          for each queue what follows the message in an entry of unacked; then the ids
-- Returns  for each message that was taken: {its queue's number, message}; they have the sequence numbers from the
--          first on. 0 when the lease has run out, false when it is lost
local now, seconds = clock()
local refused = refusal(KEYS[1], ARGV[1], now)
if refused ~= nil then
  return refused
end

local sequence, queues, taken = tonumber(ARGV[3]), tonumber(ARGV[4]), {}
for i = 5 + queues, #ARGV do
  for queue = 1, queues do
    local messages = KEYS[3 * queue + 3]
    local entry = redis.call('HGET', messages, ARGV[i])
    if entry then
      local message = string.sub(entry, string.find(entry, '\n', 1, true) + 1)
      local number = tostring(sequence + #taken)
      local tag = ARGV[2] .. number
      redis.call('HDEL', messages, ARGV[i])
      redis.call('ZREM', KEYS[3 * queue + 2], ARGV[i])
      redis.call('HSET', KEYS[2], tag, '[' .. message .. ARGV[4 + queue])
      redis.call('ZADD', KEYS[3], seconds, tag)
      redis.call('SADD', KEYS[3 * queue + 1], number)
      taken[#taken + 1] = {queue, message}
      break
    end
  end
end
return taken
