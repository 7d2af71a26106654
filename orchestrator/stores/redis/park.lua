#!lua
-- The worker agreed to end: generation + 1 with a fresh nonce, no worker, no owner.
-- KEYS: 1 record
-- ARGV: 1 generation and 2 nonce that were seen, 3 last seq, 4 nonce of the next generation, 5 until when it agreed (ms)
-- Answers: 1; 0 when one of them is another, when it is later, or the session is not open. Asked again with the same nonce: the same
-- answer.
local record = redis.call('HMGET', KEYS[1], 'status', 'generation', 'nonce', 'seq')
if record[1] == 'open' and record[3] == ARGV[4] then
  return 1
end
if record[1] ~= 'open' or record[2] ~= ARGV[1] or record[3] ~= ARGV[2] or record[4] ~= ARGV[3] then
  return 0
end
local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) >= tonumber(ARGV[5]) then
  return 0
end
redis.call('HSET', KEYS[1], 'generation', tonumber(record[2]) + 1, 'nonce', ARGV[4], 'owner', '', 'deadline_ms', '0',
  'seen_ms', time[1] * 1000 + math.floor(time[2] / 1000), 'worker', '', 'cause', 'parked')
return 1
