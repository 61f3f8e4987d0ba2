-- Settles a batch of messages that a worker holds, each as a whole: what is to be written for it, then what becomes
-- of it, and last it is no longer held. What this worker does not hold any more is left alone.
--
-- Most settlements have one record and nothing else beside what becomes of the message. That is all that the first
-- part of the arguments can say; everything else is an effect, in the second part. A batch without any effect is
-- settled by the shorter of two scripts, because for a small batch a good part of the cost is what a script defines:
--
--   settle.lua, settle_records.lua, settle_dispose.lua
--   settle.lua, settle_effects.lua, settle_dispose.lua     with the fragment on chords
--
-- KEYS     1 leases, 2 unacked, 3 unacked_index, then the held set of each queue
-- ARGV     1 worker, 2 what stands before the sequence number in its tags, 3 the results' database, 4 the
--          broker's, 5 how many messages; then for each of them: sequence number, queue's number, what becomes of
--          it ('keep', 'ack', 'head', 'tail', 'park'), how long its record is kept in seconds ('0' for ever, '' for
--          no record); with a record: its key, its document; with 'head' and 'tail': list, message; with 'park':
--          parked messages' times, parked messages, score, task's id, entry. Then for each effect: the message's
--          number in this batch, and
--            'free'                           it was acknowledged before: nothing is asked but the lease
--            'once', set, mark                starts, sends and finishes are left out when the mark is in the set;
--                                             it is put there when they are done and the message stays held
--            'start', 4 arguments             of chord_start
--            'send', list, count, messages    they go behind the others of the list
--            'publish', channel, message
--            'record', key, document, seconds it is kept, what it may not replace
--            'part', 8 arguments              of chord_part; when the chord is complete, the message stays held
--            'finish', group, claim, seconds  of chord_claimed and chord_finish
--            'forget', set, mark              of an earlier batch, whose answer has come; the number is 0
-- Returns  for each message 1, or 0 when it was not held any more, 2 when its part has completed the chord, 3 when
--          the claim of its finish was another's, or a key that holds something else than what would be written to
--          it: with 0, 3 and a key, nothing was written for it. 0 when the lease has run out, false when it is lost
local refused = refusal(KEYS[1], ARGV[1], (clock()))
if refused ~= nil then
  return refused
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

-- Whoever removes a message from unacked removes it from its index in the same step, ours and kombu; and the index
-- is asked for many at once without reading the messages.
local scores = redis.call('ZMSCORE', KEYS[3], unpack(tags))

-- By the message's number: what is answered of one that stays held in spite of what was to become of it.
local answers = {}
