#!lua flags=no-writes
-- Which states are kept.
-- KEYS: 1 states, 2 pins, 3 state
-- Answers: the seqs of the last states, oldest first; then for each pin: name, seq, etag.
local seqs = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  seqs[#seqs + 1] = string.match(field, '^%d+$') and tonumber(field)
end
if #seqs == 0 then
  seqs = {redis.call('HGET', KEYS[3], 'seq') or nil}
end
table.sort(seqs)
local pins, all = {}, redis.call('HGETALL', KEYS[2])
for at = 1, #all, 2 do
  local seq, size, from = string.match(all[at + 1], '^(%d+) (%d+) ()')
  pins[#pins + 1] = all[at]
  pins[#pins + 1] = seq
  pins[#pins + 1] = string.match(all[at + 1], '^%d+ (%S*) ', from + size)
end
return {seqs, pins}
