-- The middle part of settling when there is more to write than records: the effects. See settle.lua.

-- How many arguments an effect has; those of 'send' say it themselves.
local LENGTHS = {free = 0, once = 2, start = 4, publish = 2, record = 4, part = 8, finish = 3, forget = 2}
local effects, NONE = {}, {}
while at <= #ARGV do
  local kind = ARGV[at + 1]
  effects[kind] = effects[kind] or {}
  table.insert(effects[kind], {item = tonumber(ARGV[at]), at = at + 2})
  at = at + 2 + (LENGTHS[kind] or 2 + ARGV[at + 3])
end
for _, effect in ipairs(effects.free or NONE) do
  scores[effect.item] = true
end

-- By the message's number: the answer for one of which nothing is written; what was done by an earlier call; what
-- stays held because its part has completed the chord.
local stopped, done, complete = {}, {}, {}

local function each(kind, visit)
  for _, effect in ipairs(effects[kind] or NONE) do
    if scores[effect.item] and not stopped[effect.item] then
      visit(effect.item, effect.at)
    end
  end
end

-- First whatever may not be done, then what is: a script that fails halfway stays halfway done.
each('once', function(i, args)
  done[i] = redis.call('SISMEMBER', ARGV[args], ARGV[args + 1]) == 1
end)
local types = {}
each('send', function(i, args)
  local list = ARGV[args]
  types[list] = types[list] or redis.call('TYPE', list).ok
  if types[list] ~= 'list' and types[list] ~= 'none' then
    stopped[i] = list
  end
end)

if recorded or effects.start or effects.record or effects.part or effects.finish then
  -- A database that a script selects is selected for this script only.
  if ARGV[3] ~= ARGV[4] then
    redis.call('SELECT', ARGV[3])
  end
  each('finish', function(i, args)
    if not done[i] and not chord_claimed(ARGV[args], ARGV[args + 1]) then
      stopped[i] = 3
    end
  end)
  if effects.start then
    each('part', function(i, args)
      if not chord_fits(ARGV[args]) then
        stopped[i] = ARGV[args]
      end
    end)
  end
  each('start', function(i, args)
    if not done[i] then
      chord_start(unpack(ARGV, args, args + 3))
    end
  end)
  each('part', function(i, args)
    local counted = chord_part(unpack(ARGV, args, args + 7))
    complete[i] = counted == 1
    if counted == 2 then
      stopped[i] = ARGV[args]
    end
  end)
  local keys, documents, expiries, precedences = {}, {}, {}, {}
  for i, item in ipairs(items) do
    if scores[i] and item.key and not stopped[i] then
      keys[#keys + 1] = item.key
      documents[#documents + 1] = item.document
      expiries[#expiries + 1] = item.expires
    end
  end
  each('record', function(_, args)
    local next = #keys + 1
    keys[next], documents[next] = ARGV[args], ARGV[args + 1]
    expiries[next], precedences[next] = ARGV[args + 2], ARGV[args + 3]
  end)
  store_records(keys, documents, expiries, precedences)
  each('finish', function(i, args)
    if not done[i] then
      chord_finish(ARGV[args], ARGV[args + 2])
    end
  end)
  if ARGV[3] ~= ARGV[4] then
    redis.call('SELECT', ARGV[4])
  end
end

each('send', function(i, args)
  if not done[i] then
    redis.call('LPUSH', ARGV[args], unpack(ARGV, args + 2, args + 1 + ARGV[args + 1]))
  end
end)
each('publish', function(i, args)
  if not done[i] then
    redis.call('PUBLISH', ARGV[args], ARGV[args + 1])
  end
end)
each('once', function(i, args)
  if complete[i] or items[i].fate == 'keep' then
    redis.call('SADD', ARGV[args], ARGV[args + 1])
  end
end)
for _, effect in ipairs(effects.forget or NONE) do
  redis.call('SREM', ARGV[effect.at], ARGV[effect.at + 1])
end
for i, item in ipairs(items) do
  if stopped[i] or complete[i] then
    answers[i] = stopped[i] or 2
    item.fate = 'keep'
  end
end
