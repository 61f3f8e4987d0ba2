-- Puts parked messages whose time has come to the heads of their lists.
--
-- KEYS     for each queue: parked messages' times, parked messages, list of step 0
-- Returns  how many went back
local now = clock()
local returned = 0
for i = 1, #KEYS, 3 do
  returned = returned + return_due(KEYS[i], KEYS[i + 1], KEYS[i + 2], now)
end
return returned
