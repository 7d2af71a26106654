#!lua
-- Put a session into its tenant's list, before its record is made; one that is there keeps its place.
-- KEYS: 1 list
-- ARGV: 1 session, 2 sessions in the list at most, or empty
-- Answers: 1 when it was not there, 0 when it was, -1 when it is not there because the list is full; and in the last case, how many
-- are in the list.
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return {0, 0}
end
if ARGV[2] ~= '' then
  local count = redis.call('ZCARD', KEYS[1])
  if count >= tonumber(ARGV[2]) then
    return {-1, count}
  end
end
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
return {1, 0}
