-- The last part of settling: what becomes of the messages. See settle.lua.
local released, held = {}, {}
for i, item in ipairs(items) do
  if scores[i] and item.fate == 'tail' then
    redis.call('LPUSH', item.target, item.message)
  end
end
-- From the last to the first: what is pushed last is served first.
for i = #items, 1, -1 do
  local item = items[i]
  answers[i] = answers[i] or (scores[i] and 1 or 0)
  if scores[i] then
    if item.fate == 'head' then
      redis.call('RPUSH', item.target, item.message)
    elseif item.fate == 'park' then
      park(item.target, item.messages, item.score, item.id, tags[i], item.message)
    end
    if item.fate ~= 'keep' then
      released[#released + 1] = tags[i]
    end
  end
  if item.fate ~= 'keep' or not scores[i] then
    held[item.queue] = held[item.queue] or {}
    held[item.queue][#held[item.queue] + 1] = item.sequence
  end
end
for queue, sequences in pairs(held) do
  redis.call('SREM', KEYS[3 + queue], unpack(sequences))
end
if #released > 0 then
  redis.call('ZREM', KEYS[3], unpack(released))
  redis.call('HDEL', KEYS[2], unpack(released))
end
return answers
