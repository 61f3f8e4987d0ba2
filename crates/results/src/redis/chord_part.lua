-- Counts parts of chords.
--
-- KEYS     for each part: its group's key
-- ARGV     for each: its name, its place, what it has given, what it adds, how long is waited for the others in seconds
--          ('0' for ever), how long a claim lasts in ms, the claim
-- Returns  for each: 1 when the claim is the caller's, 0 when not, 2 when a key holds something else
local answers = {}
for i, group in ipairs(KEYS) do
  answers[i] = chord_part(group, unpack(ARGV, 7 * i - 6, 7 * i))
end
return answers
