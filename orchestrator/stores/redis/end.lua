#!lua flags=allow-oom
-- Close a session: what is left is a record that says so. Its references are let go; with the lineage's last session go its chunks.
-- It works in a store that is full, because it frees more than it writes.
-- KEYS: 1 record, 2 ids, 3 order, 4 journal, 5 states, 6 state, 7 intents, 8 chunks, 9 counts, 10 uncounted, 11 garbage, 12 pins,
-- 13 members
-- ARGV: 1 session, 2 milliseconds that the record stays, 3 bytes of a content id
-- Answers: 1; 2 when it was the lineage's last session; 0 when the session is not open.
-- @include counts
if redis.call('HGET', KEYS[1], 'status') ~= 'open' then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kept = redis.call('HMGET', KEYS[1], 'policy', 'created_ms', 'generation', 'nonce', 'seq', 'etag')
redis.call('SREM', KEYS[13], ARGV[1])
local is_last = redis.call('EXISTS', KEYS[13]) == 0
if not is_last then
  -- Each hold ends in one of these lists: the last state's, what an earlier one had and the next one had not, or a pin's.
  local width, lists, times = tonumber(ARGV[3]), {}, {}
  local references = redis.call('HGET', KEYS[5], kept[5] .. ':references') or redis.call('HGET', KEYS[6], 'references')
  lists[1] = references or ''
  for _, field in ipairs(redis.call('HKEYS', KEYS[5])) do
    if string.match(field, ':next$') then
      lists[#lists + 1] = string.match(redis.call('HGET', KEYS[5], field), '^%d+ (.*)$')
    end
  end
  for _, row in ipairs(redis.call('HVALS', KEYS[12])) do
    local size, from = string.match(row, '^%d+ (%d+) ()')
    lists[#lists + 1] = string.sub(row, from, from + size - 1)
  end
  for _, list in ipairs(lists) do
    local seen = {}
    for at = 1, #list, width do
      local id = string.sub(list, at, at + width - 1)
      if not seen[id] then
        seen[id] = true
        times[id] = (times[id] or 0) + 1
      end
    end
  end
  for id, count in pairs(times) do
    let_go(KEYS[8], KEYS[9], KEYS[11], id, count)
  end
else
  redis.call('UNLINK', KEYS[8], KEYS[9], KEYS[10], KEYS[11])
end
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[12])
redis.call('HSET', KEYS[1], 'status', 'closed', 'policy', kept[1], 'created_ms', kept[2], 'seen_ms', now,
  'generation', kept[3], 'nonce', kept[4], 'seq', kept[5], 'etag', kept[6], 'owner', '', 'deadline_ms', '0', 'worker', '')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return is_last and 2 or 1
