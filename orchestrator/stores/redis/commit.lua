#!lua
-- The commit: evals first..n and the checkpoint of n in one atomic step, or nothing. A server that is full or cannot write
-- refuses a script of this kind before its first line.
-- KEYS: 1 record, 2 ids, 3 order, 4 journal, 5 state, 6 intents, 7 chunks, 8 counts, 9 uncounted
-- ARGV: 1 generation, 2 nonce, 3 base etag, 4 new etag, 5 first seq, 6 last event, 7 manifest, 8 references in a row,
--       9 bytes of a content id, 10 ids kept, 11 seconds that ids are kept, 12 journal entries kept, 13 generations kept,
--       14 number of chunks that come along; then for each of these: content id, sealed chunk;
--       then for each eval: request id, body hash, sealed entry
-- Answers, in the order of the checks:
--   {FENCED}                                generation or nonce is not current, or the session is not open
--   {CONFLICT}                              an id is known with another body
--   {DUP, seq, etag, seq₁, entry₁, …}       every id is known with the same body; seq and etag are the session's
--   {GAP, seq, etag}                        some are known, or the first is not seq + 1, or the base etag is another
--   {MISSING, content id, …}                chunks are neither here nor came along
--   OK
local FIRST_CHUNK = 15
local FIRST_EVAL = FIRST_CHUNK + 2 * ARGV[14]

local record = redis.call('HMGET', KEYS[1], 'status', 'generation', 'nonce', 'seq', 'etag')
if record[1] ~= 'open' or record[2] ~= ARGV[1] or record[3] ~= ARGV[2] then
  return {'FENCED'}
end
local time = redis.call('TIME')
local seconds = time[1]
local now = string.format('%.0f', seconds * 1000 + math.floor(time[2] / 1000))

local wanted = {}
for at = FIRST_EVAL, #ARGV, 3 do
  wanted[#wanted + 1] = ARGV[at]
end
local rows = redis.call('HMGET', KEYS[2], unpack(wanted))
local known = {}
for index = 1, #wanted do
  if rows[index] then
    local seq, hash = string.match(rows[index], '^(%d+) %d+ (.*)$')
    if hash ~= ARGV[FIRST_EVAL + 3 * index - 2] then
      return {'CONFLICT'}
    end
    known[#known + 1] = seq
  end
end

if #known == #wanted then
  -- A write, so that WAITAOF on this connection covers what is told as committed.
  redis.call('HSET', KEYS[1], 'seen_ms', now)
  local answer = {'DUP', record[4], record[5]}
  for _, seq in ipairs(known) do
    local blob = redis.call('HGET', KEYS[4], seq)
    if not blob then
      return redis.error_reply('DAMAGED the id table names an entry that the journal does not have')
    end
    answer[#answer + 1] = seq
    answer[#answer + 1] = blob
  end
  return answer
end
local first = tonumber(ARGV[5])
if #known > 0 or first ~= record[4] + 1 or ARGV[3] ~= record[5] then
  return {'GAP', record[4], record[5]}
end

-- What the last state refers to is counted, and so it is there: only what comes new has to be looked for.
local references, held, width = ARGV[8], redis.call('HGET', KEYS[5], 'references') or '', tonumber(ARGV[9])
local fates, added, missing, carried = {}, {}, {'MISSING'}, {}
if references ~= held then
  for at = FIRST_CHUNK, FIRST_EVAL - 1, 2 do
    carried[ARGV[at]] = ARGV[at + 1]
  end
  for at = 1, #held, width do
    fates[string.sub(held, at, at + width - 1)] = 'let go'
  end
  for at = 1, #references, width do
    local id = string.sub(references, at, at + width - 1)
    if not fates[id] then
      if carried[id] or redis.call('HEXISTS', KEYS[7], id) == 1 then
        added[#added + 1] = id
      else
        missing[#missing + 1] = id
      end
    end
    fates[id] = 'kept'
  end
  if #missing > 1 then
    return missing
  end
end

local seq = first
for at = FIRST_EVAL, #ARGV, 3 do
  redis.call('HSET', KEYS[4], seq, ARGV[at + 2])
  redis.call('HSET', KEYS[2], ARGV[at], seq .. ' ' .. seconds .. ' ' .. ARGV[at + 1])
  seq = seq + 1
end
local ids = redis.call('RPUSH', KEYS[3], unpack(wanted))
redis.call('HDEL', KEYS[6], unpack(wanted))
seq = seq - 1

for _, id in ipairs(added) do
  if carried[id] then
    redis.call('HSETNX', KEYS[7], id, carried[id])
  end
  redis.call('ZREM', KEYS[9], id)
  redis.call('HINCRBY', KEYS[8], id, 1)
end
-- What no state refers to any more goes at once: whoever refers to it again sends it again.
for id, fate in pairs(fates) do
  if fate == 'let go' and redis.call('HINCRBY', KEYS[8], id, -1) <= 0 then
    redis.call('HDEL', KEYS[8], id)
    redis.call('HDEL', KEYS[7], id)
  end
end
redis.call('HSET', KEYS[5], 'seq', seq, 'generation', ARGV[1], 'manifest', ARGV[7], 'references', references)

local fresh = redis.call('HSET', KEYS[1], 'seq', seq, 'etag', ARGV[4], 'seen_ms', now, 'g:' .. ARGV[1], seq .. ' ' .. ARGV[6])
if fresh > 0 then
  local generations = {}
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    local generation = string.match(field, '^g:(%d+)$')
    if generation then
      generations[#generations + 1] = tonumber(generation)
    end
  end
  table.sort(generations)
  for index = 1, #generations - tonumber(ARGV[13]) do
    redis.call('HDEL', KEYS[1], string.format('g:%.0f', generations[index]))
  end
end

-- Each commit lets go of twice what it brought at most: lists that are too long shrink, and no commit pays for all of it.
local kept, entries_kept = tonumber(ARGV[10]), tonumber(ARGV[12])
for _ = 1, 2 * #wanted do
  if ids <= kept then
    break
  end
  local id = redis.call('LINDEX', KEYS[3], 0)
  local row = redis.call('HGET', KEYS[2], id) or ''
  local at = tonumber(string.match(row, '^%d+ (%d+) ') or 0)
  if ids <= entries_kept and seconds - at < tonumber(ARGV[11]) then
    break
  end
  redis.call('LPOP', KEYS[3])
  redis.call('HDEL', KEYS[2], id)
  ids = ids - 1
end
for gone = first - entries_kept, seq - entries_kept do
  if gone > 0 then
    redis.call('HDEL', KEYS[4], gone)
  end
end
return 'OK'
