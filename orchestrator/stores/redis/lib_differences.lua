-- Whether a list of ids in a row has this one.
local function has(list, id, width)
  local at = string.find(list, id, 1, true)
  while at and (at - 1) % width > 0 do
    at = string.find(list, id, at + 1, true)
  end
  return at ~= nil
end
-- How many ids two lists begin with alike; with a step of -1, end with alike.
local function alike(one, other, width, most, step)
  local low, high = 0, most
  while low < high do
    local middle = math.ceil((low + high) / 2)
    local from, to = low * width + 1, middle * width
    if step < 0 then
      from, to = -to, -from
    end
    if string.sub(one, from, to) == string.sub(other, from, to) then
      low = middle
    else
      high = middle - 1
    end
  end
  return low
end
-- The ids that only the later list has, and those that only the earlier one has, each once, in their order. Most commits
-- change a few of many: then what both begin and end with is not taken apart.
local function differences(earlier, later, width)
  local head, tail, from, both = 0, 0, 1, ''
  if #earlier + #later > 32 * width then
    local least = math.min(#earlier, #later) / width
    head = alike(earlier, later, width, least, 1)
    tail = alike(earlier, later, width, least - head, -1)
    if #earlier + #later - 2 * (head + tail) * width > 64 * width then
      tail = 0
    else
      from = head * width + 1
      both = string.sub(earlier, 1, head * width) .. string.sub(earlier, #earlier - tail * width + 1)
    end
  end
  local fates, added, left = {}, {}, {}
  for at = from, #earlier - tail * width, width do
    fates[string.sub(earlier, at, at + width - 1)] = 'left'
  end
  for at = from, #later - tail * width, width do
    local id = string.sub(later, at, at + width - 1)
    if not fates[id] and not has(both, id, width) then
      added[#added + 1] = id
    end
    fates[id] = 'stays'
  end
  for at = from, #earlier - tail * width, width do
    local id = string.sub(earlier, at, at + width - 1)
    if fates[id] == 'left' and not has(both, id, width) then
      left[#left + 1] = id
    end
    fates[id] = 'stays'
  end
  return added, left
end
