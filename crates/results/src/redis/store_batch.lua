-- Stores a batch of records.
--
-- KEYS     the records' keys
-- ARGV     for each key: the document, how long it is kept in seconds ('0' for ever), what it may not replace
--          ('', 'progress', 'revoked')
-- Returns  how many there were
local documents, expiries, precedences = {}, {}, {}
for i = 1, #KEYS do
  documents[i] = ARGV[3 * i - 2]
  expiries[i] = ARGV[3 * i - 1]
  precedences[i] = ARGV[3 * i]
end
store_records(KEYS, documents, expiries, precedences)
return #KEYS
