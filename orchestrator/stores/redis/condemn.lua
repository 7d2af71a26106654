#!lua flags=allow-oom
-- Condemn chunks that nothing refers to and that nobody has put since the grace, and delete them in the same step: no commit
-- can see one that is condemned and still there, and no late delete can hit one that was put again.
-- KEYS: 1 chunks, 2 counts, 3 uncounted, 4 garbage
-- ARGV: 1 grace in ms, 2 how many at most
-- Answers: how many rows of `uncounted` were dealt with, how many chunks were deleted, and how many chunks there are beyond those that
-- are counted and those that wait to be.
-- @include counts
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now - tonumber(ARGV[1]), 'LIMIT', 0, ARGV[2])
local deleted = 0
for _, id in ipairs(due) do
  if redis.call('HEXISTS', KEYS[2], id) == 0 then
    deleted = deleted + forget(KEYS[1], KEYS[4], id)
  end
  redis.call('ZREM', KEYS[3], id)
end
return {#due, deleted, redis.call('HLEN', KEYS[1]) - redis.call('HLEN', KEYS[2]) - redis.call('ZCARD', KEYS[3])}
