#!lua
-- A part of the journal and of the ids of a session that is going to be planted. They go by themselves when it is not.
-- KEYS: 1 record, 2 ids, 3 order, 4 journal
-- ARGV: 1 milliseconds until they go, 2 number of ids that were sent before; then for each eval: seq, sealed entry, request id (empty
--       when a later eval has the same one), body hash
-- Answers: 1; 0 when the session is there already.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
local before, ids, seconds = tonumber(ARGV[2]), {}, redis.call('TIME')[1]
if before == 0 then
  redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4])
end
for at = 3, #ARGV, 4 do
  redis.call('HSET', KEYS[4], ARGV[at], ARGV[at + 1])
  if ARGV[at + 2] ~= '' then
    redis.call('HSET', KEYS[2], ARGV[at + 2], ARGV[at] .. ' ' .. seconds .. ' ' .. ARGV[at + 3])
    ids[#ids + 1] = ARGV[at + 2]
  end
end
-- Sent again after its answer was lost, a part is in the list already.
if #ids > 0 and redis.call('LLEN', KEYS[3]) == before then
  redis.call('RPUSH', KEYS[3], unpack(ids))
end
for key = 2, 4 do
  redis.call('PEXPIRE', KEYS[key], ARGV[1])
end
return 1
