#!lua
-- The id of an `open`: the first one to come with it decides which session it opens.
-- KEYS: 1 opened, 2 opened order
-- ARGV: 1 request id, 2 body hash, 3 session, 4 milliseconds that an id is kept, 5 ids kept at most, 6 a session that was buried: the
--       id opens this one in its place; or empty
-- Answers: the session that the id opens, and for how many milliseconds it has; nil when the id is known with another body.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kept = tonumber(ARGV[4])
local row = redis.call('HGET', KEYS[1], ARGV[1])
if row then
  local at, session, hash = string.match(row, '^(%d+) (%S+) (.*)$')
  if now - at < kept then
    if hash ~= ARGV[2] then
      return false
    elseif session ~= ARGV[6] then
      return {session, now - at}
    end
  end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[3] .. ' ' .. ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[1])
-- Each open lets go of twice what it brought at most: no open pays for all of it.
for _ = 1, 2 do
  local oldest = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
  if now - oldest[2] < kept and redis.call('ZCARD', KEYS[2]) <= tonumber(ARGV[5]) then
    break
  end
  redis.call('ZREM', KEYS[2], oldest[1])
  redis.call('HDEL', KEYS[1], oldest[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return {ARGV[3], 0}
