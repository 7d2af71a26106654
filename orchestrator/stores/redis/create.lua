#!lua
-- A new session: generation 0, seq 0, no worker.
-- KEYS: 1 record, 2 members, 3 chunks, 4 uncounted
-- ARGV: 1 session, 2 nonce, 3 policy (JSON)
-- Answers: the record's fields and values in a row; nil when the id is in use. Asked again with the same nonce: the same answer.
-- @include begin
if not begin(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], '0', '') then
  return false
end
-- What was put for a session that was never planted would go by its time.
redis.call('PERSIST', KEYS[3])
redis.call('PERSIST', KEYS[4])
return redis.call('HGETALL', KEYS[1])
