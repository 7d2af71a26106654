-- Of a chunk that lies elsewhere, in `chunks`: a zero byte and the name of its object.
local MARKER_BYTES = 111
-- A chunk goes. When it lies elsewhere, its object becomes garbage in the same step: a new put of it gets another object. `garbage` is
-- false where no chunk does.
local function forget(chunks, garbage, id)
  if garbage and redis.call('HSTRLEN', chunks, id) == MARKER_BYTES then
    local value = redis.call('HGET', chunks, id)
    if string.byte(value) == 0 then
      redis.call('SADD', garbage, string.sub(value, 2))
    end
  end
  return redis.call('HDEL', chunks, id)
end
-- So many states and pins refer to it no more. What nothing refers to goes at once: whoever wants it again sends it again.
local function let_go(chunks, counts, garbage, id, times)
  if redis.call('HINCRBY', counts, id, -times) <= 0 then
    redis.call('HDEL', counts, id)
    forget(chunks, garbage, id)
  end
end
