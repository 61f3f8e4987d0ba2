-- The middle part of settling when there is nothing to write but records. See settle.lua.
if recorded then
  local keys, documents, expiries = {}, {}, {}
  for i, item in ipairs(items) do
    if scores[i] and item.key then
      keys[#keys + 1] = item.key
      documents[#documents + 1] = item.document
      expiries[#expiries + 1] = item.expires
    end
  end
  -- A database that a script selects is selected for this script only.
  if ARGV[3] ~= ARGV[4] then
    redis.call('SELECT', ARGV[3])
  end
  store_records(keys, documents, expiries)
  if ARGV[3] ~= ARGV[4] then
    redis.call('SELECT', ARGV[4])
  end
end
