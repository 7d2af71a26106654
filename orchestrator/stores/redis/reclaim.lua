#!lua
-- Chunks that nothing refers to and that do not wait for it either are leaks: from now on they wait, and so they go after the grace.
-- KEYS: 1 chunks, 2 counts, 3 uncounted
-- ARGV: content ids to look at
-- Answers: how many were leaks.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = 0
for at = 1, #ARGV do
  local id = ARGV[at]
  if redis.call('HEXISTS', KEYS[1], id) == 1 and redis.call('HEXISTS', KEYS[2], id) == 0 then
    found = found + redis.call('ZADD', KEYS[3], 'NX', now, id)
  end
end
return found
