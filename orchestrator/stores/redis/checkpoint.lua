#!lua flags=no-writes
-- A state.
-- KEYS: 1 record, 2 states, 3 pins, 4 state
-- ARGV: 1 `last`, `seq` or `pin`, 2 that seq, or the pin's name
-- Answers: seq, generation and etag and manifest in one, references; nil when it is not kept.
-- @include states
local seq, row, references = state_at(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1], ARGV[2])
if not seq then
  return false
end
return {seq, row, references}
