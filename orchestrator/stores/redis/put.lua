#!lua
-- Chunks, before the commit that refers to them. One that is there stays as it is: the same id is the same content.
-- KEYS: 1 chunks, 2 counts, 3 uncounted, 4 members
-- ARGV: content id, sealed chunk; and so on
-- Answers: how many were taken; 0 when the lineage has no session any more.
if redis.call('EXISTS', KEYS[4]) == 0 then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for at = 1, #ARGV, 2 do
  redis.call('HSETNX', KEYS[1], ARGV[at], ARGV[at + 1])
  if redis.call('HEXISTS', KEYS[2], ARGV[at]) == 0 then
    redis.call('ZADD', KEYS[3], now, ARGV[at])
  end
end
return #ARGV / 2
