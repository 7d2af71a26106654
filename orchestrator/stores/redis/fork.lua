#!lua
-- A new session that begins with a state of another one of its lineage: the references are taken in the same step.
-- KEYS: 1 record, 2 states, 3 pins and 4 state of the other one; 5 record and 6 states of the new one; 7 counts, 8 members
-- ARGV: 1 `seq` or `pin`, 2 that seq, or the pin's name, 3 etag, 4 references in a row, 5 session, 6 nonce, 7 policy (JSON), 8 seq,
--       9 generation and etag and manifest in one, 10 sessions of a lineage at most, 11 bytes of a content id
-- Answers: the record's fields and values in a row; IN_USE; NOT_FOUND when that state, with that etag and these references, is not
-- kept any more, or the parent is not open; FULL. Asked again with the same nonce: the same answer.
-- @include begin
-- @include states
local nonce = redis.call('HGET', KEYS[5], 'nonce')
if nonce then
  return nonce == ARGV[6] and redis.call('HGETALL', KEYS[5]) or 'IN_USE'
end
local seq, row, references = state_at(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1], ARGV[2])
if redis.call('HGET', KEYS[1], 'status') ~= 'open' or not seq or etag_of(row) ~= ARGV[3] or references ~= ARGV[4] then
  return 'NOT_FOUND'
end
if redis.call('SCARD', KEYS[8]) >= tonumber(ARGV[10]) then
  return 'FULL'
end
begin(KEYS[5], KEYS[8], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[3])
redis.call('HSET', KEYS[6], ARGV[8], ARGV[9], ARGV[8] .. ':references', references)
local width, seen = tonumber(ARGV[11]), {}
for at = 1, #references, width do
  local id = string.sub(references, at, at + width - 1)
  if not seen[id] then
    seen[id] = true
    redis.call('HINCRBY', KEYS[7], id, 1)
  end
end
return redis.call('HGETALL', KEYS[5])
