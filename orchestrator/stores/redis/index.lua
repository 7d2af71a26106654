#!lua
-- Put a session into the index, before its record is made: an entry without a record is swept, a record without an entry would be lost.
-- KEYS: 1 index
-- ARGV: 1 session
-- Answers: 1 when it was not there, else 0.
local time = redis.call('TIME')
return redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
