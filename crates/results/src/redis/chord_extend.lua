-- Extends a claim; takes it again when it has run out, and nobody else has taken it, and the chord is there.
--
-- KEYS     1 the group's key
-- ARGV     1 the claim, 2 how long it lasts from now on, in ms
-- Returns  1, or 0 when it is another's, or done
if not chord_claimed(KEYS[1], ARGV[1]) then
  return 0
end
redis.call('SET', KEYS[1] .. '.c', ARGV[1], 'PX', ARGV[2])
return 1
