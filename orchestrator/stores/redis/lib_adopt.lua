-- The last state as release 0.1 wrote it becomes the first one that is kept: its references; nothing when there is none.
local function adopt(state, states, etag)
  local old = redis.call('HMGET', state, 'seq', 'generation', 'manifest', 'references')
  if old[1] then
    redis.call('HSET', states, old[1], old[2] .. ' ' .. etag .. ' ' .. old[3], old[1] .. ':references', old[4])
    redis.call('UNLINK', state)
  end
  return old[4]
end
