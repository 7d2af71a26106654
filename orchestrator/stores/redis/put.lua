#!lua
-- Chunks, before what refers to them. One that is there stays as it is: the same id is the same content.
-- KEYS: 1 chunks, 2 counts, 3 uncounted, 4 members
-- ARGV: 1 milliseconds that they stay without a session of the lineage, or 0: then nothing is taken without one; 2 the time (ms)
--       after which they are refused, because their objects may be gone, or 0; then content id, sealed chunk; and so on
-- Answers: the content ids that are there with other bytes (another object); nil when the lineage has no session any more. Asked
-- again: the same answer.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local nursery, latest = tonumber(ARGV[1]), tonumber(ARGV[2])
if latest > 0 and now > latest then
  return redis.error_reply('LATE these objects were written too long ago')
end
local has_session = redis.call('EXISTS', KEYS[4]) == 1
if not has_session and nursery == 0 then
  return false
end
local before = {}
for at = 3, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[1], ARGV[at], ARGV[at + 1]) == 0 and latest > 0
    and redis.call('HGET', KEYS[1], ARGV[at]) ~= ARGV[at + 1] then
    before[#before + 1] = ARGV[at]
  end
  if redis.call('HEXISTS', KEYS[2], ARGV[at]) == 0 then
    redis.call('ZADD', KEYS[3], now, ARGV[at])
  end
end
if not has_session then
  redis.call('PEXPIRE', KEYS[1], nursery)
  redis.call('PEXPIRE', KEYS[3], nursery)
end
return before
