#!lua
-- A new session whose chunks, journal and ids were sent ahead.
-- KEYS: 1 record, 2 ids, 3 order, 4 journal, 5 states, 6 chunks, 7 counts, 8 uncounted, 9 members
-- ARGV: 1 session, 2 nonce, 3 policy (JSON), 4 seq, 5 etag, 6 generation and etag and manifest in one, 7 references in a row,
--       8 bytes of a content id, 9 number of journal entries that were sent
-- Answers: the record's fields and values in a row; IN_USE; MISSING when a chunk is absent. Asked again with the same nonce: the same
-- answer.
-- @include begin
local nonce = redis.call('HGET', KEYS[1], 'nonce')
if nonce then
  return nonce == ARGV[2] and redis.call('HGETALL', KEYS[1]) or 'IN_USE'
end
local references, width, seen, ids = ARGV[7], tonumber(ARGV[8]), {}, {}
for at = 1, #references, width do
  local id = string.sub(references, at, at + width - 1)
  if not seen[id] then
    if redis.call('HEXISTS', KEYS[6], id) == 0 then
      redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4])
      return 'MISSING'
    end
    seen[id] = true
    ids[#ids + 1] = id
  end
end
if redis.call('HLEN', KEYS[4]) ~= tonumber(ARGV[9]) then
  return redis.error_reply('LATE the journal was sent too long ago')
end
begin(KEYS[1], KEYS[9], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
redis.call('HSET', KEYS[5], ARGV[4], ARGV[6], ARGV[4] .. ':references', references)
for _, id in ipairs(ids) do
  redis.call('ZREM', KEYS[8], id)
  redis.call('HINCRBY', KEYS[7], id, 1)
end
for _, key in ipairs({2, 3, 4, 6, 8}) do
  redis.call('PERSIST', KEYS[key])
end
return redis.call('HGETALL', KEYS[1])
