#!lua flags=no-writes
-- What a request id ended with.
-- KEYS: 1 ids, 2 journal
-- ARGV: 1 request id
-- Answers: seq and sealed entry; nil when the id is not known.
local row = redis.call('HGET', KEYS[1], ARGV[1])
if not row then
  return false
end
local seq = string.match(row, '^(%d+) ')
local blob = seq and redis.call('HGET', KEYS[2], seq)
if not blob then
  return redis.error_reply('DAMAGED the id table names an entry that the journal does not have')
end
return {seq, blob}
