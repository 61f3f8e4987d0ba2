-- Puts messages of a worker whose lease was ended for good to the heads of their lists. The call that leaves it
-- without any also removes the worker. Calls may overlap: a message goes back once.
--
-- KEYS     1 leases, 2 workers, 3 unacked, 4 unacked_index, 5 the worker's marks of what was done, 6 what has begun, 7
--          what had begun when messages were taken, 8 what the worker is to do, then for each queue: held set, consumers
-- ARGV     1 worker, 2 what stands before the sequence number in its tags; then for each message: sequence number,
--          queue's number, list, message. The last one is the first to be served
-- Returns  how many went back
local ends = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]))
if not ends or ends >= 0 then
  return 0
end
local restored = 0
for at = 3, #ARGV, 4 do
  local tag = ARGV[2] .. ARGV[at]
  -- One that is gone was restored by a Celery worker.
  if redis.call('HEXISTS', KEYS[3], tag) == 1 then
    redis.call('RPUSH', ARGV[at + 2], ARGV[at + 3])
    redis.call('ZREM', KEYS[4], tag)
    redis.call('HDEL', KEYS[3], tag)
    restored = restored + 1
  end
  redis.call('SREM', KEYS[7 + 2 * tonumber(ARGV[at + 1])], ARGV[at])
end
for i = 9, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    return restored
  end
end
for i = 10, #KEYS, 2 do
  redis.call('SREM', KEYS[i], ARGV[1])
end
redis.call('DEL', KEYS[5], KEYS[6], KEYS[7], KEYS[8])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[1], ARGV[1])
return restored
