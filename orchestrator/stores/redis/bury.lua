#!lua
-- Nobody makes this session any more: whoever still tries finds its id in use.
-- KEYS: 1 record
-- ARGV: 1 nonce, 2 milliseconds until it goes
-- Answers: the record's fields and values when there is a session; else nil.
local found = redis.call('HGETALL', KEYS[1])
if #found > 0 then
  return redis.call('HEXISTS', KEYS[1], 'buried') == 0 and found
end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[1], 'status', 'closed', 'buried', '1', 'policy', '{"tenant":"","subject":""}', 'created_ms', now, 'seen_ms', now,
  'generation', '0', 'nonce', ARGV[1], 'seq', '0', 'etag', '', 'owner', '', 'deadline_ms', '0', 'worker', '')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return false
