-- Takes letters out of a dead-letter queue: each goes to another list, or nowhere. What is not there any more is passed
-- over. The other list is looked at first: a script that fails halfway stays halfway done.
--
-- KEYS     1 schema, 2 the dead-letter list
-- ARGV     1 the schema that is known here; then for each: the letter, the list that it goes to or '' for none, the
--          message that stands there then
-- Returns  {schema of the keys, how many were taken, a list of another type or ''}: nothing was taken for that list;
--          when the schema is a newer one, nothing was taken at all
local schema = tonumber(redis.call('GET', KEYS[1]) or ARGV[1])
if schema > tonumber(ARGV[1]) then
  return {schema, 0, ''}
end
local taken, wrong = 0, ''
for at = 2, #ARGV, 3 do
  local list = ARGV[at + 1]
  local kind = list == '' and 'none' or redis.call('TYPE', list).ok
  if kind ~= 'list' and kind ~= 'none' then
    wrong = list
  elseif redis.call('LREM', KEYS[2], -1, ARGV[at]) == 1 then
    if list ~= '' then
      redis.call('LPUSH', list, ARGV[at + 2])
    end
    taken = taken + 1
  end
end
return {schema, taken, wrong}
