-- Reads a page of parked messages, the earliest due first.
--
-- KEYS     1 parked messages' times, 2 parked messages
-- ARGV     1 how many to pass over, 2 how many to read
-- Returns  for each: {its time in ms, the list's suffix, newline, message}
local page = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1, 'WITHSCORES')
local parked = {}
for i = 1, #page, 2 do
  local entry = redis.call('HGET', KEYS[2], page[i])
  if entry then
    parked[#parked + 1] = {page[i + 1], entry}
  end
end
return parked
