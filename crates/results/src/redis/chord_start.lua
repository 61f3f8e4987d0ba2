-- Begins chords.
--
-- KEYS     for each chord: its group's key
-- ARGV     for each: how many parts, how long is waited for them in seconds ('0' for ever), the GroupResult or ''
-- Returns  how many there were
for i, group in ipairs(KEYS) do
  chord_start(group, ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i])
end
return #KEYS
