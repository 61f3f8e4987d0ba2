-- For scripts that judge leases. All of them do it by Redis' own clock.

-- The milliseconds of Redis' clock; its seconds, for unacked_index; and its microseconds. kombu writes fractions there, too; but as
-- whole numbers they stay numbers in a small sorted set, where Redis would read fractions as text again and again.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000), time[1], time[1] * 1000000 + time[2]
end

-- How many milliseconds a worker's lease still lasts: 0 or less when it has ended, but may be renewed; nil when it
-- was swept or never was. A lease that was swept has the score -1 until its messages are back in their queues.
local function remaining(leases, worker, now)
  local ends = tonumber(redis.call('ZSCORE', leases, worker))
  if not ends or ends < 0 then
    return nil
  end
  return ends - now
end

-- What a script answers a worker whose lease does not last: 0 when it has run out, false when it is lost. Nothing when
-- it lasts, and only then the script may write.
local function refusal(leases, worker, now)
  local left = remaining(leases, worker, now)
  if not left then
    return false
  end
  if left <= 0 then
    return 0
  end
end
