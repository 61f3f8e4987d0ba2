-- Stores a batch of records.
--
-- KEYS  the records' keys
-- ARGV  for each key: the document, how long it is kept in seconds ('0' for ever)
local documents, expiries = {}, {}
for i = 1, #KEYS do
  documents[i] = ARGV[2 * i - 1]
  expiries[i] = ARGV[2 * i]
end
store_records(KEYS, documents, expiries)
return #KEYS
