-- Lets held messages start as often as the limits of their tasks allow. What comes too early, or stands behind others, is
-- parked in the line of its task, and held no longer.
--
-- KEYS     1 leases, 2 unacked, 3 unacked_index, 4 the pool's gates, then for each of the Q queues: held set, parked
--          messages' times, parked messages, lines
-- ARGV     1 worker, 2 what stands before the sequence number in its tags, 3 the slack in µs, 4 how many ms after its
--          turn should have come a message goes back to its list, 5 Q, then for each queue what follows the message in
--          an entry of unacked; then for each message: sequence number, queue's number, task, how far apart its starts
--          are in µs, task's id, suffix of its list, how many steps are more urgent
-- Returns  {when the next turn of those that were parked is, in µs from now; -1 for none; then for each message 1 when
--          it may start, 0 when it was parked, -1 when it was not held any more}. 0 when the lease has run out, false
--          when it is lost
local _, _, now = clock()
local refused = refusal(KEYS[1], ARGV[1], (clock()))
if refused ~= nil then
  return refused
end

local slack, queues = tonumber(ARGV[3]), tonumber(ARGV[5])
local answers = {-1}
for at = 6 + queues, #ARGV, 7 do
  local number, queue, task, interval = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 3])
  local tag = ARGV[2] .. number
  local entry = redis.call('HGET', KEYS[2], tag)
  local answer = -1
  if entry then
    local lines, next = KEYS[4 * queue + 4], gate(KEYS[4], task, interval, now, slack)
    local line = lines .. IN_LINE .. task
    if next <= now and redis.call('EXISTS', line) == 0 then
      shut(KEYS[4], task, next, interval, now)
      answer = 1
    else
      local ahead = 0
      for other = 1, queues do
        ahead = ahead + redis.call('ZCARD', KEYS[4 * other + 4] .. IN_LINE .. task)
      end
      local due = math.ceil((math.max(next, now) + ahead * interval) / 1000) + ARGV[4]
      local message = string.sub(entry, 2, -1 - #ARGV[5 + queue])
      local name = park(KEYS[4 * queue + 2], KEYS[4 * queue + 3], due, ARGV[at + 4], tag, ARGV[at + 5] .. '\n' .. message)
      -- By urgency, then in the order in which they came. Since some day of 2023, so that the numbers stay exact.
      redis.call('ZADD', line, ARGV[at + 6] * 1e15 + now - 1.7e15 + at, name)
      redis.call('SADD', lines, task)
      redis.call('SREM', KEYS[4 * queue + 1], number)
      redis.call('ZREM', KEYS[3], tag)
      redis.call('HDEL', KEYS[2], tag)
      local wait = math.max(next - now, 0)
      answers[1] = answers[1] < 0 and wait or math.min(answers[1], wait)
      answer = 0
    end
  end
  answers[#answers + 1] = answer
end
return answers
