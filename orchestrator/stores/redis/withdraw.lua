#!lua flags=allow-oom
-- A request was not started after all: its intent goes, if it is of that generation and body.
-- KEYS: 1 intents
-- ARGV: 1 generation, 2 request id, 3 body hash
-- Answers: 1 when it was there, else 0.
local row = redis.call('HGET', KEYS[1], ARGV[2])
if not row or string.match(row, '^%d+') ~= ARGV[1] or string.sub(row, -#ARGV[3]) ~= ARGV[3] then
  return 0
end
return redis.call('HDEL', KEYS[1], ARGV[2])
