#!lua
-- Keep a state under a name, in place of what it named before.
-- KEYS: 1 record, 2 states, 3 pins, 4 state, 5 chunks, 6 counts, 7 garbage
-- ARGV: 1 name, 2 seq, 3 etag, 4 pins at most, 5 bytes of a content id
-- Answers: 1, also when the name is of that state already; 0 when the state, with that etag, is not kept any more, or the session is not
-- open; FULL when there are too many names.
-- @include counts
-- @include states
local function references_of(row)
  local size, from = string.match(row, '^%d+ (%d+) ()')
  return string.sub(row, from, from + size - 1)
end
local function each(references, width, change)
  local seen = {}
  for at = 1, #references, width do
    local id = string.sub(references, at, at + width - 1)
    if not seen[id] then
      seen[id] = true
      change(id)
    end
  end
end
if redis.call('HGET', KEYS[1], 'status') ~= 'open' then
  return 0
end
local before = redis.call('HGET', KEYS[3], ARGV[1])
if before then
  local seq, row = state_at(KEYS[1], KEYS[2], KEYS[3], KEYS[4], 'pin', ARGV[1])
  if seq == ARGV[2] and etag_of(row) == ARGV[3] then
    return 1
  end
end
local seq, row, references = state_at(KEYS[1], KEYS[2], KEYS[3], KEYS[4], 'seq', ARGV[2])
if not seq or etag_of(row) ~= ARGV[3] then
  return 0
end
if not before and redis.call('HLEN', KEYS[3]) >= tonumber(ARGV[4]) then
  return 'FULL'
end
local width = tonumber(ARGV[5])
each(references, width, function(id)
  redis.call('HINCRBY', KEYS[6], id, 1)
end)
redis.call('HSET', KEYS[3], ARGV[1], seq .. ' ' .. #references .. ' ' .. references .. row)
if before then
  each(references_of(before), width, function(id)
    let_go(KEYS[5], KEYS[6], KEYS[7], id, 1)
  end)
end
return 1
