#!lua
-- A front door has this session in hand.
-- KEYS: 1 record
-- ARGV: 1 `1` when it is linked to its worker
-- Answers: the store's time in ms, as text, now the session's `seen_ms` or `linked_ms`; nil when the session is not open.
if redis.call('HGET', KEYS[1], 'status') ~= 'open' then
  return false
end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[1], ARGV[1] == '1' and 'linked_ms' or 'seen_ms', now)
return now
