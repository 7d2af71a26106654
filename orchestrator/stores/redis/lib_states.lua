-- A state: its seq, its row (generation, etag and manifest in one) and its references; nothing when it is not kept. `kind` is `last`,
-- `seq` or `pin`. The last state of a session that was written by release 0.1 is in a hash of its own until the next commit.
local function state_at(record, states, pins, state, kind, at)
  if kind == 'pin' then
    local row = redis.call('HGET', pins, at)
    if not row then
      return nil
    end
    local seq, size, from = string.match(row, '^(%d+) (%d+) ()')
    return seq, string.sub(row, from + size), string.sub(row, from, from + size - 1)
  end
  local seq = kind == 'last' and redis.call('HGET', record, 'seq') or at
  local found = redis.call('HMGET', states, seq, seq .. ':references')
  if found[1] then
    return seq, found[1], found[2]
  end
  local old = redis.call('HMGET', state, 'seq', 'generation', 'manifest', 'references')
  if old[1] and old[1] == seq then
    return seq, old[2] .. ' ' .. redis.call('HGET', record, 'etag') .. ' ' .. old[3], old[4]
  end
end
-- The etag of a state's row.
local function etag_of(row)
  return string.match(row, '^%d+ (%S*) ')
end
