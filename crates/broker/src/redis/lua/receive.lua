-- Takes messages: first those whose turn has come in the line of their task, then from the lists in their order. Writes
-- down in the same step that this worker holds them: for us in its held sets, for Celery's workers in unacked and
-- unacked_index.
--
-- KEYS     1 leases, 2 unacked, 3 unacked_index, 4 the pool's gates, then for each of the Q queues: held set, parked
--          messages' times, parked messages, list of step 0, lines; then the lists in the order in which they are
--          emptied; last what has begun
-- ARGV     1 worker, 2 what stands before the sequence number in its tags, 3 how many to take, 4 the first
--          sequence number, 5 the slack of limits in µs, 6 Q, 7 how many tasks have a limit; then for each queue: what
--          follows the message in an entry of unacked, how many its lists give at first, '' for as many as there are;
--          for each limit: task, how far apart its starts are in µs; for each list the number of its queue;
--          last the sequence numbers of what has begun, with blanks between them, and how many of those that are taken
--          begin at once
-- Returns  {when the next turn in a line is, in µs from now, -1 for none; then for each list or line that gave
--          something, once or in pieces: {its queue's number, {the messages}, 1 when their starts are counted}}; they
--          have the sequence numbers from the first on. 0 when the lease has run out, false when it is lost
local now, seconds, exactly = clock()
local refused = refusal(KEYS[1], ARGV[1], now)
if refused ~= nil then
  return refused
end

local prefix, left, sequence, slack = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local queues, limited = tonumber(ARGV[6]), tonumber(ARGV[7])
local lists = #KEYS - 5 - 5 * queues
local begun, places = ARGV[#ARGV - 1], tonumber(ARGV[#ARGV])

-- Large messages are taken few at a time: BYTES are enough for a call. A list gives as many again as it has given, between
-- these bounds, before its messages are weighed.
local LEAST, MOST = 4, 32
local bytes = 0

-- Counted by hand: Lua finds the length of a table by searching for its end.
local taken, entries, index, held, count = {-1}, {}, {}, {}, 0
local function take(queue, messages, counted)
  local tail, sequences = ARGV[6 + 2 * queue], held[queue] or {}
  local before = #sequences
  for at, message in ipairs(messages) do
    local number = tostring(sequence + count)
    local tag = prefix .. number
    -- One that was lost before is noted first. Text in its body stands behind a backslash.
    if count < places and not string.find(message, '"petiole-deliveries"', 1, true) then
      begun = begun .. ' ' .. number
    end
    entries[2 * count + 1] = tag
    entries[2 * count + 2] = '[' .. message .. tail
    index[2 * count + 1] = seconds
    index[2 * count + 2] = tag
    sequences[before + at] = number
    bytes = bytes + #message
    count = count + 1
  end
  held[queue] = sequences
  left = left - #messages
  taken[#taken + 1] = {queue, messages, counted}
end

local limits
for queue = 1, queues do
  local lines = KEYS[5 * queue + 4]
  for _, task in ipairs(redis.call('SMEMBERS', lines)) do
    if not limits then
      limits = {}
      for at = 8 + 2 * queues, 6 + 2 * (queues + limited), 2 do
        limits[ARGV[at]] = tonumber(ARGV[at + 1])
      end
    end
    local messages, next =
      turns(KEYS[4], lines, KEYS[5 * queue + 1], KEYS[5 * queue + 2], task, limits[task], left, BYTES - bytes,
        exactly, slack)
    if #messages > 0 then
      take(queue, messages, 1)
    end
    if next then
      local wait = math.max(next - exactly, 0)
      taken[1] = taken[1] < 0 and wait or math.min(taken[1], wait)
    end
  end
  return_due(KEYS[5 * queue + 1], KEYS[5 * queue + 2], KEYS[5 * queue + 3], now)
end

-- First each queue its share, then whatever is left of any.
local quotas, shared = {}, false
for queue = 1, queues do
  quotas[queue] = tonumber(ARGV[7 + 2 * queue])
  shared = shared or quotas[queue] ~= nil
end
for round = 1, shared and 2 or 1 do
  for list = 1, lists do
    if left == 0 then
      break
    end
    local queue, from = tonumber(ARGV[7 + 2 * (queues + limited) + list]), 0
    local most = left
    if round == 1 and quotas[queue] then
      most = math.min(left, quotas[queue])
    end
    while most > 0 and bytes < BYTES do
      local piece = math.min(most, math.max(LEAST, math.min(from, MOST)))
      local messages = redis.call('RPOP', KEYS[4 + 5 * queues + list], piece)
      if not messages then
        break
      end
      take(queue, messages, 0)
      from, most = from + #messages, most - #messages
      if quotas[queue] then
        quotas[queue] = quotas[queue] - #messages
      end
      if #messages < piece then
        break
      end
    end
  end
end
if count > 0 then
  if begun ~= '' then
    redis.call('SET', KEYS[#KEYS], begun)
  end
  redis.call('HSET', KEYS[2], unpack(entries))
  redis.call('ZADD', KEYS[3], unpack(index))
  for queue, sequences in pairs(held) do
    redis.call('SADD', KEYS[5 * queue], unpack(sequences))
  end
end
return taken
