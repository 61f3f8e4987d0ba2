-- Ends a chord whose body was sent.
--
-- KEYS     1 the group's key
-- ARGV     1 the claim, 2 for how long late parts find out, in seconds
-- Returns  1, or 0 when the claim is another's, or the chord was ended before
if not chord_claimed(KEYS[1], ARGV[1]) then
  return 0
end
chord_finish(KEYS[1], ARGV[2])
return 1
