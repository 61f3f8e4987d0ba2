-- Settles a batch of messages that a worker holds, each as a whole: what is to be written for it, then what becomes
-- of it, and last it is no longer held. What this worker does not hold any more is left alone.
--
-- Most settlements have one record and nothing else beside what becomes of the message. Those are all that the first
-- part of the arguments can say; everything else is an effect, in the second part.
--
-- KEYS     1 leases, 2 unacked, 3 unacked_index, then the held set of each queue
-- ARGV     1 worker, 2 what stands before the sequence number in its tags, 3 the results' database, 4 the
--          broker's, 5 how many messages; then for each of them: sequence number, queue's number, what becomes of
--          it ('keep', 'ack', 'head', 'tail', 'park'), how long its record is kept in seconds ('0' for ever, '' for
--          no record); with a record: its key, its document; with 'head' and 'tail': list, message; with 'park':
--          parked messages' times, parked messages, score, task's id, entry. Then for each effect: the message's number in this batch, and
--            'free'                           it was acknowledged before: nothing is asked but the lease
--            'once', set, mark                starts, sends and finishes are left out when the mark is in the set;
--                                             it is put there when they are done and the message stays held
--            'start', 4 arguments             of chord_start
--            'send', list, count, messages    they go behind the others of the list
--            'publish', channel, message
--            'record', key, document, seconds it is kept, what it may not replace
--            'part', 7 arguments              of chord_part; when the chord is complete, the message stays held
--            'finish', group, claim, seconds  of chord_claimed and chord_finish
--            'forget', set, mark              of an earlier batch, whose answer has come; the number is 0
-- Returns  for each message 1, or 0 when it was not held any more, 2 when its part has completed the chord, 3 when
--          the claim of its finish was another's, or a key that holds something else than what would be written to
--          it: with 0, 3 and a key, nothing was written for it. 0 when the lease has run out, false when it is lost
local left = remaining(KEYS[1], ARGV[1], (clock()))
if not left then
  return false
end
if left <= 0 then
  return 0
end

local items, tags, at, recorded = {}, {}, 6, false
for i = 1, tonumber(ARGV[5]) do
  local item = {sequence = ARGV[at], queue = tonumber(ARGV[at + 1]), fate = ARGV[at + 2], expires = ARGV[at + 3]}
  at = at + 4
  if item.expires ~= '' then
    item.key, item.document = ARGV[at], ARGV[at + 1]
    at = at + 2
    recorded = true
  end
  if item.fate == 'head' or item.fate == 'tail' then
    item.target, item.message = ARGV[at], ARGV[at + 1]
    at = at + 2
  elseif item.fate == 'park' then
    item.target, item.messages, item.score = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    item.id, item.message = ARGV[at + 3], ARGV[at + 4]
    at = at + 5
  end
  items[i] = item
  tags[i] = ARGV[2] .. item.sequence
end

-- How many arguments an effect has; those of 'send' say it themselves.
local LENGTHS = {free = 0, once = 2, start = 4, publish = 2, record = 4, part = 7, finish = 3, forget = 2}
local effects, NONE = {}, {}
while at <= #ARGV do
  local kind = ARGV[at + 1]
  effects[kind] = effects[kind] or {}
  table.insert(effects[kind], {item = tonumber(ARGV[at]), at = at + 2})
  at = at + 2 + (LENGTHS[kind] or 2 + ARGV[at + 3])
end

-- Whoever removes a message from unacked removes it from its index in the same step, ours and kombu; and the index
-- is asked for many at once without reading the messages.
local scores = redis.call('ZMSCORE', KEYS[3], unpack(tags))
for _, effect in ipairs(effects.free or NONE) do
  scores[effect.item] = true
end

-- By the message's number: the answer for one of which nothing is written; what was done by an earlier call; what
-- stays held because its part has completed the chord.
local stopped, done, complete = {}, {}, {}

local function each(kind, visit)
  for _, effect in ipairs(effects[kind] or NONE) do
    if scores[effect.item] and not stopped[effect.item] then
      visit(effect.item, effect.at)
    end
  end
end

-- First whatever may not be done, then what is: a script that fails halfway stays halfway done.
each('once', function(i, args)
  done[i] = redis.call('SISMEMBER', ARGV[args], ARGV[args + 1]) == 1
end)
local types = {}
each('send', function(i, args)
  local list = ARGV[args]
  types[list] = types[list] or redis.call('TYPE', list).ok
  if types[list] ~= 'list' and types[list] ~= 'none' then
    stopped[i] = list
  end
end)

if recorded or effects.start or effects.record or effects.part or effects.finish then
  -- A database that a script selects is selected for this script only.
  if ARGV[3] ~= ARGV[4] then
    redis.call('SELECT', ARGV[3])
  end
  each('finish', function(i, args)
    if not done[i] and not chord_claimed(ARGV[args], ARGV[args + 1]) then
      stopped[i] = 3
    end
  end)
  each('part', function(i, args)
    local counted = chord_part(unpack(ARGV, args, args + 6))
    complete[i] = counted == 1
    if counted == 2 then
      stopped[i] = ARGV[args]
    end
  end)
  each('start', function(i, args)
    if not done[i] then
      chord_start(unpack(ARGV, args, args + 3))
    end
  end)
  local keys, documents, expiries, precedences = {}, {}, {}, {}
  for i, item in ipairs(items) do
    if scores[i] and item.key and not stopped[i] then
      keys[#keys + 1] = item.key
      documents[#documents + 1] = item.document
      expiries[#expiries + 1] = item.expires
    end
  end
  each('record', function(_, args)
    local next = #keys + 1
    keys[next], documents[next] = ARGV[args], ARGV[args + 1]
    expiries[next], precedences[next] = ARGV[args + 2], ARGV[args + 3]
  end)
  store_records(keys, documents, expiries, precedences)
  each('finish', function(i, args)
    if not done[i] then
      chord_finish(ARGV[args], ARGV[args + 2])
    end
  end)
  if ARGV[3] ~= ARGV[4] then
    redis.call('SELECT', ARGV[4])
  end
end

each('send', function(i, args)
  if not done[i] then
    redis.call('LPUSH', ARGV[args], unpack(ARGV, args + 2, args + 1 + ARGV[args + 1]))
  end
end)
each('publish', function(i, args)
  if not done[i] then
    redis.call('PUBLISH', ARGV[args], ARGV[args + 1])
  end
end)
each('once', function(i, args)
  if complete[i] or items[i].fate == 'keep' then
    redis.call('SADD', ARGV[args], ARGV[args + 1])
  end
end)
for _, effect in ipairs(effects.forget or NONE) do
  redis.call('SREM', ARGV[effect.at], ARGV[effect.at + 1])
end

local answers, released, held = {}, {}, {}
-- From the last to the first: what is pushed last is served first.
for i = #items, 1, -1 do
  local item, gone = items[i], false
  if not scores[i] then
    answers[i] = 0
    gone = true
  elseif stopped[i] or complete[i] then
    answers[i] = stopped[i] or 2
  else
    answers[i] = 1
    if item.fate == 'head' then
      redis.call('RPUSH', item.target, item.message)
    elseif item.fate == 'tail' then
      redis.call('LPUSH', item.target, item.message)
    elseif item.fate == 'park' then
      park(item.target, item.messages, item.score, item.id, tags[i], item.message)
    end
    if item.fate ~= 'keep' then
      released[#released + 1] = tags[i]
      gone = true
    end
  end
  if gone then
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
