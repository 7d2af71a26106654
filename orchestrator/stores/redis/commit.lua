#!lua
-- The commit: evals first..n and the checkpoint of n in one atomic step, or nothing. A server that is full or cannot write
-- refuses a script of this kind before its first line. A rewind is a commit of one eval, whose state is one that is kept, and which
-- raises the generation as well.
-- KEYS: 1 record, 2 ids, 3 order, 4 journal, 5 states, 6 state, 7 intents, 8 chunks, 9 counts, 10 uncounted, 11 garbage
-- ARGV: 1 generation, 2 nonce, 3 base etag, 4 new etag, 5 first seq, 6 last event, 7 generation and new etag and manifest in one,
--       8 references in a row, 9 bytes of a content id, 10 ids kept, 11 seconds that ids are kept, 12 journal entries kept,
--       13 generations kept, 14 states kept, 15 `1` when chunks may lie in objects, 16 number of chunks that come along, 17 seq to go
--       back to, or empty; with a seq: 18 the next generation's nonce, 19 its owner, 20 milliseconds until its deadline;
--       then for each chunk: content id, sealed chunk; then for each eval: request id, body hash, sealed entry
-- Answers, in the order of the checks:
--   OK                                      the rewind was made before, with this nonce
--   {FENCED}                                generation or nonce is not current, or the session is not open
--   {CONFLICT}                              an id is known with another body
--   {DUP, seq, etag, seq₁, entry₁, …}       every id is known with the same body; seq and etag are the session's
--   {GAP, seq, etag}                        some are known, or the first is not seq + 1, or the base etag is another; or the state
--                                           to go back to is not kept, or has other references
--   {MISSING, content id, …}                chunks are neither here nor came along
--   OK
local rewinds = ARGV[17] ~= ''
local FIRST_CHUNK = rewinds and 21 or 18
local FIRST_EVAL = FIRST_CHUNK + 2 * ARGV[16]

local record = redis.call('HMGET', KEYS[1], 'status', 'generation', 'nonce', 'seq', 'etag', 'oldest', 'states')
local time = redis.call('TIME')
local seconds = time[1]
local now_ms = seconds * 1000 + math.floor(time[2] / 1000)
local now = string.format('%.0f', now_ms)
if rewinds and record[1] == 'open' and record[3] == ARGV[18] then
  -- A write, so that WAITAOF on this connection covers what is told as committed; so below.
  redis.call('HSET', KEYS[1], 'seen_ms', now)
  return 'OK'
end
if record[1] ~= 'open' or record[2] ~= ARGV[1] or record[3] ~= ARGV[2] then
  return {'FENCED'}
end

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

local last, references, width = record[4], ARGV[8], tonumber(ARGV[9])
local oldest, states = record[6], (record[7] or 0) + 1
local found = redis.call('HMGET', KEYS[5], last .. ':references', (oldest or '') .. ':next')
local held, next_row = found[1], found[2]
if last == '0' then
  held = ''
elseif not held then
  -- @include adopt
  held = adopt(KEYS[6], KEYS[5], record[5])
  if not held then
    return redis.error_reply('DAMAGED the last state is not there')
  end
  oldest, states = last, 2
end
if rewinds and redis.call('HGET', KEYS[5], ARGV[17] .. ':references') ~= references then
  return {'GAP', record[4], record[5]}
end

-- What the last state refers to is counted, and so it is there: only what comes new has to be looked for.
local added, left, missing, carried = {}, {}, {'MISSING'}, {}
if references ~= held then
  -- @include differences
  for at = FIRST_CHUNK, FIRST_EVAL - 1, 2 do
    carried[ARGV[at]] = ARGV[at + 1]
  end
  added, left = differences(held, references, width)
  for _, id in ipairs(added) do
    if not carried[id] and redis.call('HEXISTS', KEYS[8], id) == 0 then
      missing[#missing + 1] = id
    end
  end
  if #missing > 1 then
    return missing
  end
end

-- Numbers that go back to the server as text are made into text once: each time costs as much as a command.
local seq, seq_text = first, ARGV[5]
for at = FIRST_EVAL, #ARGV, 3 do
  if at > FIRST_EVAL then
    seq = seq + 1
    seq_text = string.format('%.0f', seq)
  end
  redis.call('HSET', KEYS[4], seq_text, ARGV[at + 2])
  redis.call('HSET', KEYS[2], ARGV[at], seq_text .. ' ' .. seconds .. ' ' .. ARGV[at + 1])
end
local ids = redis.call('RPUSH', KEYS[3], unpack(wanted))
redis.call('HDEL', KEYS[7], unpack(wanted))

for _, id in ipairs(added) do
  -- One that is new here was never put, and so it does not wait.
  if not carried[id] or redis.call('HSETNX', KEYS[8], id, carried[id]) == 0 then
    redis.call('ZREM', KEYS[10], id)
  end
  redis.call('HINCRBY', KEYS[9], id, 1)
end
-- What is in a state and not in the next one is let go with that state, when it is not kept any more.
if last == '0' then
  redis.call('HSET', KEYS[5], seq_text, ARGV[7], seq_text .. ':references', references)
  oldest = seq_text
else
  redis.call('HSET', KEYS[5], seq_text, ARGV[7], seq_text .. ':references', references,
    last .. ':next', seq_text .. ' ' .. table.concat(left))
end
-- One in and one out; after the setting shrank two, and no commit pays for all of it.
for _ = 1, math.min(2, states - ARGV[14]) do
  next_row = next_row or redis.call('HGET', KEYS[5], oldest .. ':next')
  if not next_row then
    -- What is damaged is kept: nothing that is referred to may go.
    break
  end
  local successor, from = string.match(next_row, '^(%d+) ()')
  if from <= #next_row then
    -- @include counts
    for at = from, #next_row, width do
      let_go(KEYS[8], KEYS[9], ARGV[15] == '1' and KEYS[11], string.sub(next_row, at, at + width - 1), 1)
    end
  end
  redis.call('HDEL', KEYS[5], oldest, oldest .. ':references', oldest .. ':next')
  oldest, states, next_row = successor, states - 1, nil
end

local fresh = redis.call('HSET', KEYS[1], 'seq', seq_text, 'etag', ARGV[4], 'linked_ms', now, 'oldest', oldest,
  'g:' .. ARGV[1], seq_text .. ' ' .. ARGV[6])
if states ~= tonumber(record[7]) then
  redis.call('HSET', KEYS[1], 'states', states)
end
if rewinds then
  redis.call('HSET', KEYS[1], 'generation', string.format('%.0f', ARGV[1] + 1), 'nonce', ARGV[18], 'owner', ARGV[19],
    'deadline_ms', string.format('%.0f', now_ms + ARGV[20]), 'worker', '', 'cause', 'rewind')
end
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
