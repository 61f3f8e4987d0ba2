-- Takes messages, the most urgent first, and writes down in the same step that this worker holds them: for us in
-- its held sets, for Celery's workers in unacked and unacked_index.
--
-- KEYS     1 leases, 2 unacked, 3 unacked_index, then for each of the Q queues: held set, parked messages' times,
--          parked messages, list of step 0; then the lists in the order in which they are emptied
-- ARGV     1 worker, 2 what stands before the sequence number in its tags, 3 how many to take, 4 the first
--          sequence number, 5 Q, then for each queue what follows the message in an entry of unacked, then for
--          each list the number of its queue
-- Returns  for each list that gave something: {its queue's number, {the messages}}; they have the sequence numbers
--          from the first on. 0 when the lease has run out, false when it is lost
local now, seconds = clock()
local refused = refusal(KEYS[1], ARGV[1], now)
if refused ~= nil then
  return refused
end

local prefix, want, sequence, queues = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
for queue = 1, queues do
  return_due(KEYS[4 * queue + 1], KEYS[4 * queue + 2], KEYS[4 * queue + 3], now)
end

-- Counted by hand: Lua finds the length of a table by searching for its end.
local taken, entries, index, held, count = {}, {}, {}, {}, 0
for list = 1, #ARGV - 5 - queues do
  if want == 0 then
    break
  end
  local messages = redis.call('RPOP', KEYS[3 + 4 * queues + list], want)
  if messages then
    local queue = tonumber(ARGV[5 + queues + list])
    local tail = ARGV[5 + queue]
    local sequences = held[queue] or {}
    local before = #sequences
    for at, message in ipairs(messages) do
      local number = tostring(sequence + count)
      local tag = prefix .. number
      entries[2 * count + 1] = tag
      entries[2 * count + 2] = '[' .. message .. tail
      index[2 * count + 1] = seconds
      index[2 * count + 2] = tag
      sequences[before + at] = number
      count = count + 1
    end
    held[queue] = sequences
    want = want - #messages
    taken[#taken + 1] = {queue, messages}
  end
end
if count > 0 then
  redis.call('HSET', KEYS[2], unpack(entries))
  redis.call('ZADD', KEYS[3], unpack(index))
  for queue, sequences in pairs(held) do
    redis.call('SADD', KEYS[4 * queue], unpack(sequences))
  end
end
return taken
