#!lua flags=allow-oom
-- Nothing was opened by this id after all.
-- KEYS: 1 opened, 2 opened order
-- ARGV: 1 request id, 2 session
-- Answers: 1; 0 when the id is not of that session.
local row = redis.call('HGET', KEYS[1], ARGV[1])
if not row or string.match(row, '^%d+ (%S+) ') ~= ARGV[2] then
  return 0
end
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
