#!lua flags=allow-oom
-- Let go of a name.
-- KEYS: 1 pins, 2 chunks, 3 counts, 4 garbage
-- ARGV: 1 name, 2 bytes of a content id
-- Answers: 1; 0 when there is no such name.
-- @include counts
local row = redis.call('HGET', KEYS[1], ARGV[1])
if not row then
  return 0
end
local size, from = string.match(row, '^%d+ (%d+) ()')
local width, seen = tonumber(ARGV[2]), {}
for at = from, from + size - 1, width do
  local id = string.sub(row, at, at + width - 1)
  if not seen[id] then
    seen[id] = true
    let_go(KEYS[2], KEYS[3], KEYS[4], id, 1)
  end
end
return redis.call('HDEL', KEYS[1], ARGV[1])
