-- Settles a batch of messages that a worker holds: for each, first its record, then what becomes of it, and last
-- it is no longer held. What this worker does not hold any more is left alone.
--
-- KEYS     1 leases, 2 unacked, 3 unacked_index, then the held set of each queue
-- ARGV     1 worker, 2 what stands before the sequence number in its tags, 3 the results' database, 4 the
--          broker's, 5 how many messages; then for each of them: sequence number, queue's number, what becomes of
--          it ('keep', 'ack', 'head', 'tail', 'park'), how long its record is kept in seconds ('0' for ever, '' for
--          no record); with a record: its key, its document; with 'head' and 'tail': list, message; with 'park':
--          sorted set, score, member
-- Returns  for each message 1, or 0 when it was not held any more; 0 when the lease has run out, false when it is
--          lost
local left = remaining(KEYS[1], ARGV[1], (clock()))
if not left then
  return false
end
if left <= 0 then
  return 0
end

local items, tags, at = {}, {}, 6
for i = 1, tonumber(ARGV[5]) do
  local item = {sequence = ARGV[at], queue = tonumber(ARGV[at + 1]), fate = ARGV[at + 2], expires = ARGV[at + 3]}
  at = at + 4
  if item.expires ~= '' then
    item.key, item.document = ARGV[at], ARGV[at + 1]
    at = at + 2
  end
  if item.fate == 'head' or item.fate == 'tail' then
    item.target, item.message = ARGV[at], ARGV[at + 1]
    at = at + 2
  elseif item.fate == 'park' then
    item.target, item.score, item.message = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    at = at + 3
  end
  items[i] = item
  tags[i] = ARGV[2] .. item.sequence
end

-- Whoever removes a message from unacked removes it from its index in the same step, ours and kombu; and the index
-- is asked for many at once without reading the messages.
local scores = redis.call('ZMSCORE', KEYS[3], unpack(tags))

local keys, documents, expiries = {}, {}, {}
for i, item in ipairs(items) do
  if scores[i] and item.key then
    keys[#keys + 1] = item.key
    documents[#documents + 1] = item.document
    expiries[#expiries + 1] = item.expires
  end
end
if #keys > 0 then
  -- A database that a script selects is selected for this script only.
  if ARGV[3] ~= ARGV[4] then
    redis.call('SELECT', ARGV[3])
  end
  store_records(keys, documents, expiries)
  if ARGV[3] ~= ARGV[4] then
    redis.call('SELECT', ARGV[4])
  end
end

local answers, released, held = {}, {}, {}
-- From the last to the first: what is pushed last is served first.
for i = #items, 1, -1 do
  local item = items[i]
  answers[i] = scores[i] and 1 or 0
  if scores[i] then
    if item.fate == 'head' then
      redis.call('RPUSH', item.target, item.message)
    elseif item.fate == 'tail' then
      redis.call('LPUSH', item.target, item.message)
    elseif item.fate == 'park' then
      redis.call('ZADD', item.target, item.score, item.message)
    end
    if item.fate ~= 'keep' then
      released[#released + 1] = tags[i]
    end
  end
  if item.fate ~= 'keep' or not scores[i] then
    held[item.queue] = held[item.queue] or {}
    held[item.queue][#held[item.queue] + 1] = item.sequence
  end
end
for queue, sequences in pairs(held) do
  redis.call('SREM', KEYS[3 + queue], unpack(sequences))
end
if #released > 0 then
  redis.call('ZREM', KEYS[3], unpack(released))
  redis.call('HDEL', KEYS[2], unpack(released))
end
return answers
