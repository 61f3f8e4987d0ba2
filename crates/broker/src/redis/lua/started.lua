-- Notes which of the messages that a worker holds have begun to run.
--
-- KEYS     1 leases, 2 what has begun, 3 what had begun when messages were taken
-- ARGV     1 worker, 2 the sequence numbers of all that has begun, with blanks between them
-- Returns  1; 0 when the lease has run out, false when it is lost
local refused = refusal(KEYS[1], ARGV[1], (clock()))
if refused ~= nil then
  return refused
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[2], KEYS[3])
else
  redis.call('SET', KEYS[2], ARGV[2])
end
return 1
