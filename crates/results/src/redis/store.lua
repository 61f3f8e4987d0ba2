-- Stores records as Celery's Redis back end does. There is one way to write a record: the store's own script and
-- the broker's commit both include this fragment.
--
-- keys         the records' keys, in the order in which they are written; a key may come twice
-- documents    their texts
-- expiries     how long each is kept, in seconds; '0' for ever
-- precedences  for each what it may not replace: '' SUCCESS; 'progress' what is ready; 'revoked' what is ready or
--              has begun. Without this table all are ''
--
-- The state of a document is read off its first bytes: Celery and we write the status first, and further in the
-- same words may be part of a task's own result. What is written is announced on the channel that has the key's
-- name, since that is what Celery's clients listen to.
local SUCCESS = '{"status": "SUCCESS"'

local function replaceable(old, precedence)
  if not precedence or precedence == '' then
    return string.sub(old, 1, #SUCCESS) ~= SUCCESS
  end
  -- A document of another form may be a result.
  local state = ' ' .. (string.match(old, '^{"status": "([^"]*)"') or 'SUCCESS') .. ' '
  if precedence == 'revoked' then
    return string.find(' PENDING RECEIVED RETRY REJECTED ', state, 1, true)
  end
  return not string.find(' SUCCESS FAILURE REVOKED ', state, 1, true)
end

local function store_records(keys, documents, expiries, precedences)
  local newest = {}
  -- unpack has a limit of some thousands.
  for first = 1, #keys, 1000 do
    local last = math.min(first + 999, #keys)
    -- Absent keys are false, as are keys that hold no string.
    local found = redis.call('MGET', unpack(keys, first, last))
    for i = first, last do
      local key = keys[i]
      local old = newest[key] or found[i - first + 1]
      if not old or replaceable(old, precedences and precedences[i]) then
        if expiries[i] == '0' then
          redis.call('SET', key, documents[i])
        else
          redis.call('SET', key, documents[i], 'EX', expiries[i])
        end
        redis.call('PUBLISH', key, documents[i])
        newest[key] = documents[i]
      end
    end
  end
end
