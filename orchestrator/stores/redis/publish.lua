#!lua
-- Make a worker's address known and end the replacement; whoever does is linked to it.
-- KEYS: 1 record
-- ARGV: 1 generation, 2 nonce, 3 worker (JSON), or empty: the session has none now
-- Answers: 1; 0 when generation or nonce is not current, or the session is not open.
local record = redis.call('HMGET', KEYS[1], 'status', 'generation', 'nonce')
if record[1] ~= 'open' or record[2] ~= ARGV[1] or record[3] ~= ARGV[2] then
  return 0
end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[1], 'worker', ARGV[3], 'owner', '', 'deadline_ms', '0', ARGV[3] == '' and 'seen_ms' or 'linked_ms', now)
return 1
