-- Looks through a part of what workers hold for messages that Celery's workers hold.
--
-- KEYS     1 unacked, 2 unacked_index: its tags can be gone through without their messages
-- ARGV     1 where the part before has ended, 2 about how many tags to go through, 3 how a tag of ours begins, 4 after how
--          many bytes of entries no more are read, 5 how many bytes of an entry's end to give; then the tags that the part
--          before has left, when it has: they are this part
-- Returns  {where this part has ended: '0' when there is no tag after it, the ends of entries whose tags are not ours, tags
--          of this part whose entries were not read}
local cursor, tags = ARGV[1], {}
if #ARGV > 5 then
  for i = 6, #ARGV do
    tags[#tags + 1] = ARGV[i]
  end
else
  local part = redis.call('ZSCAN', KEYS[2], cursor, 'COUNT', ARGV[2])
  cursor = part[1]
  -- Each tag has its score behind it.
  for i = 1, #part[2], 2 do
    if string.sub(part[2][i], 1, #ARGV[3]) ~= ARGV[3] then
      tags[#tags + 1] = part[2][i]
    end
  end
end
local most, length = tonumber(ARGV[4]), tonumber(ARGV[5])
local bytes, ends, left = 0, {}, {}
for _, tag in ipairs(tags) do
  if bytes < most then
    local entry = redis.call('HGET', KEYS[1], tag)
    if entry then
      bytes = bytes + #entry
      ends[#ends + 1] = string.sub(entry, -length)
    end
  else
    left[#left + 1] = tag
  end
end
return {cursor, ends, left}
