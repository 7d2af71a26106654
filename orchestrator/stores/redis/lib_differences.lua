-- Whether a list of ids in a row has this one, but for a part of the list. (A string costs what it is long when it is made, not when it
-- is searched: so nothing is cut out that need not be.)
local function has(list, id, width, from, to)
  local at = string.find(list, id, 1, true)
  while at and ((at - 1) % width > 0 or (at >= from and at <= to)) do
    at = string.find(list, id, at + 1, true)
  end
  return at ~= nil
end
-- How many ids two lists begin with alike; with a step of -1, end with alike.
local function alike(one, other, width, most, step)
  local count = 0
  for _, block in ipairs({16, 1}) do
    while count + block <= most do
      local from, to = count * width + 1, (count + block) * width
      if step < 0 then
        from, to = -to, -from
      end
      if string.sub(one, from, to) ~= string.sub(other, from, to) then
        break
      end
      count = count + block
    end
  end
  return count
end
-- The ids that only the later list has, and those that only the earlier one has, each once, in their order. Most commits
-- change a few of many: then what both begin and end with is not taken apart.
local function differences(earlier, later, width)
  local head, tail = 0, 0
  if #earlier + #later > 32 * width then
    local least = math.min(#earlier, #later) / width
    head = alike(earlier, later, width, least, 1)
    tail = alike(earlier, later, width, least - head, -1)
    if #earlier + #later - 2 * (head + tail) * width > 64 * width then
      head, tail = 0, 0
    end
  end
  local is_cut, from, to = head + tail > 0, head * width + 1, #earlier - tail * width
  local fates, added, left = {}, {}, {}
  for at = from, to, width do
    fates[string.sub(earlier, at, at + width - 1)] = 'left'
  end
  for at = from, #later - tail * width, width do
    local id = string.sub(later, at, at + width - 1)
    if not fates[id] and not (is_cut and has(earlier, id, width, from, to)) then
      added[#added + 1] = id
    end
    fates[id] = 'stays'
  end
  for at = from, to, width do
    local id = string.sub(earlier, at, at + width - 1)
    if fates[id] == 'left' and not (is_cut and has(earlier, id, width, from, to)) then
      left[#left + 1] = id
    end
    fates[id] = 'stays'
  end
  return added, left
end
