#!lua
-- A new session: generation 0, seq 0, no worker.
-- KEYS: 1 record, 2 members
-- ARGV: 1 session, 2 nonce, 3 policy (JSON)
-- Answers: the record's fields and values in a row; nil when the id is in use. Asked again with the same nonce: the same answer.
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local nonce = redis.call('HGET', KEYS[1], 'nonce')
if nonce and nonce ~= ARGV[2] then
  return false
end
if not nonce then
  redis.call('HSET', KEYS[1], 'status', 'open', 'policy', ARGV[3], 'created_ms', now, 'seen_ms', now, 'generation', '0',
    'nonce', ARGV[2], 'seq', '0', 'etag', '', 'owner', '', 'deadline_ms', '0', 'worker', '')
  redis.call('SADD', KEYS[2], ARGV[1])
end
return redis.call('HGETALL', KEYS[1])
