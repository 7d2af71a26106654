#!lua
-- Put a session into its tenant's list, before its record is made; one that is there keeps its place.
-- KEYS: 1 list
-- ARGV: 1 session
-- Answers: 1 when it was not there, else 0.
local time = redis.call('TIME')
return redis.call('ZADD', KEYS[1], 'NX', time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
