-- Puts messages back that nobody has acknowledged within the visibility timeout, as kombu does.
--
-- KEYS     1 unacked, 2 unacked_index
-- ARGV     1 the latest time of a delivery, in seconds, that counts as abandoned; then for each message: tag,
--          message, how many lists, these lists
-- Returns  how many went back
local restored, at = 0, 2
while at <= #ARGV do
  local tag, message, lists = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local delivered = tonumber(redis.call('ZSCORE', KEYS[2], tag))
  if delivered and delivered <= tonumber(ARGV[1]) then
    for i = 1, lists do
      redis.call('RPUSH', ARGV[at + 2 + i], message)
    end
    redis.call('ZREM', KEYS[2], tag)
    redis.call('HDEL', KEYS[1], tag)
    restored = restored + 1
  end
  at = at + 3 + lists
end
return restored
