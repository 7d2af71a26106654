#!lua
-- Compare-and-set: a higher generation, a nonce, an owner and a deadline; the worker of before is no longer the session's.
-- KEYS: 1 record
-- ARGV: 1 generation that was seen, 2 owner, 3 milliseconds until the deadline, 4 nonce, 5 cause, 6 `1`: only
--       when it has no worker now, 7 a generation that the new one is above as well
-- Answers: the new generation; nil when another one is current, or another owner's replacement is under way, or the session is
-- not open, or it has a worker although it must not. Asked again with the same nonce: the same answer.
local record = redis.call('HMGET', KEYS[1], 'status', 'generation', 'nonce', 'owner', 'deadline_ms', 'worker')
if record[1] ~= 'open' then
  return false
end
if record[3] == ARGV[4] then
  return tonumber(record[2])
end
if ARGV[6] == '1' and record[6] ~= '' then
  return false
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local free = record[4] == '' or record[4] == ARGV[2] or tonumber(record[5]) <= now
if record[2] ~= ARGV[1] or not free then
  return false
end
local generation = math.max(tonumber(record[2]), tonumber(ARGV[7])) + 1
redis.call('HSET', KEYS[1], 'generation', generation, 'nonce', ARGV[4], 'owner', ARGV[2],
  'deadline_ms', now + tonumber(ARGV[3]), 'seen_ms', now, 'worker', '', 'cause', ARGV[5])
return generation
