#!lua
-- The intent to run a request of a session's current generation.
-- KEYS: 1 record, 2 ids, 3 intents
-- ARGV: 1 generation, 2 nonce, 3 request id, 4 body hash, 5 principal, 6 `1` when what an earlier generation left stays,
--       7 intents kept at most
-- Answers: OK; FENCED when generation or nonce is not current; the earlier generation and its body hash when that stays.
local record = redis.call('HMGET', KEYS[1], 'status', 'generation', 'nonce')
if record[1] ~= 'open' or record[2] ~= ARGV[1] or record[3] ~= ARGV[2] then
  return 'FENCED'
end
-- A write in any case, so that WAITAOF on this connection covers what was written before.
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'seen_ms', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
if redis.call('HEXISTS', KEYS[2], ARGV[3]) == 1 then
  return 'OK'
end
local row = redis.call('HGET', KEYS[3], ARGV[3])
if row then
  local generation = string.match(row, '^%d+')
  if generation == ARGV[1] then
    -- Of the same body or another one, it may run: the worker decides which.
    return 'OK'
  elseif ARGV[6] == '1' then
    return {generation, string.sub(row, -#ARGV[4])}
  end
end
redis.call('HSET', KEYS[3], ARGV[3], ARGV[1] .. ' ' .. time[1] .. ' ' .. ARGV[5] .. ' ' .. ARGV[4])
-- Only crashes leave some behind: when they are too many, the older half goes at once.
if redis.call('HLEN', KEYS[3]) > tonumber(ARGV[7]) then
  local all, ages = redis.call('HGETALL', KEYS[3]), {}
  for at = 1, #all, 2 do
    local generation, seconds = string.match(all[at + 1], '^(%d+) (%d+) ')
    ages[#ages + 1] = {tonumber(generation), tonumber(seconds), all[at]}
  end
  table.sort(ages, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
  for at = 1, math.floor(#ages / 2) do
    redis.call('HDEL', KEYS[3], ages[at][3])
  end
end
return 'OK'
