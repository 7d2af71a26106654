#!lua flags=allow-oom
-- Close a session: what is left is a record that says so. Its references are let go; with the lineage's last session go its chunks.
-- It works in a store that is full, because it frees more than it writes.
-- KEYS: 1 record, 2 ids, 3 order, 4 journal, 5 state, 6 intents, 7 chunks, 8 counts, 9 uncounted,
-- 10 members
-- ARGV: 1 session, 2 milliseconds that the record stays, 3 bytes of a content id
-- Answers: 1; 0 when the session is not open.
if redis.call('HGET', KEYS[1], 'status') ~= 'open' then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kept = redis.call('HMGET', KEYS[1], 'policy', 'created_ms', 'generation', 'nonce', 'seq', 'etag')
local held = redis.call('HGET', KEYS[5], 'references') or ''
redis.call('SREM', KEYS[10], ARGV[1])
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6])
if redis.call('EXISTS', KEYS[10]) == 0 then
  redis.call('UNLINK', KEYS[7], KEYS[8], KEYS[9])
else
  local width, done = tonumber(ARGV[3]), {}
  for at = 1, #held, width do
    local id = string.sub(held, at, at + width - 1)
    if not done[id] and redis.call('HINCRBY', KEYS[8], id, -1) <= 0 then
      redis.call('HDEL', KEYS[8], id)
      redis.call('HDEL', KEYS[7], id)
    end
    done[id] = true
  end
end
redis.call('HSET', KEYS[1], 'status', 'closed', 'policy', kept[1], 'created_ms', kept[2], 'seen_ms', now,
  'generation', kept[3], 'nonce', kept[4], 'seq', kept[5], 'etag', kept[6], 'owner', '', 'deadline_ms', '0', 'worker', '')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
