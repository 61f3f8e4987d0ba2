-- Stores records as Celery's Redis back end does. There is one way to write a record: the store's own script and
-- the broker's commit both include this fragment.
--
-- keys       the records' keys, in the order in which they are written; a key may come twice
-- documents  their texts
-- expiries   how long each is kept, in seconds; '0' for ever
--
-- A document that says SUCCESS is never replaced. That is read off its first bytes: Celery and we write the status
-- first, and further in the same words may be part of a task's own result. What is written is announced on the
-- channel that has the key's name, since that is what Celery's clients listen to.
local SUCCESS = '{"status": "SUCCESS"'

local function store_records(keys, documents, expiries)
  -- Absent keys are false, as are keys that hold no string.
  local found = redis.call('MGET', unpack(keys))
  local newest = {}
  for i, key in ipairs(keys) do
    local old = newest[key] or found[i]
    if not old or string.sub(old, 1, #SUCCESS) ~= SUCCESS then
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
