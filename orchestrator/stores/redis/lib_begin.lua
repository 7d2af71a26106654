-- A session's first record, unless there is one; false when that one is another's.
local function begin(record, members, session, nonce, policy, seq, etag)
  local found = redis.call('HGET', record, 'nonce')
  if found then
    return found == nonce
  end
  local time = redis.call('TIME')
  local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
  redis.call('HSET', record, 'status', 'open', 'policy', policy, 'created_ms', now, 'seen_ms', now, 'generation', '0',
    'nonce', nonce, 'seq', seq, 'etag', etag, 'owner', '', 'deadline_ms', '0', 'worker', '')
  if seq ~= '0' then
    redis.call('HSET', record, 'oldest', seq, 'states', '1')
  end
  redis.call('SADD', members, session)
  return true
end
