-- Rings the lanes of a partition that are due and silent, each at its next generation. Level-triggered: it looks at
-- what is, not at what happened, so running it twice, or on every worker at once, rings nothing twice.
-- KEYS: due lanes, bells
-- ARGV: most lanes to ring, ring ms, most lanes to look at, the letters of the kinds of lanes to ring
-- Answers {lane id, generation, slow, …}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local limit, until_ms, most = tonumber(ARGV[1]), string.format('%.0f', now + tonumber(ARGV[2])), tonumber(ARGV[3])
local kinds = ARGV[4]
local PAGE = 200
local rings = {}

local function of_these_kinds(lanes)
  local found = {}
  for _, lane in ipairs(lanes) do
    local kind = string.match(lane, '^[^.]+%.[^.]+%.(%a)')
    if kind and string.find(kinds, kind, 1, true) then found[#found + 1] = lane end
  end
  return found
end

-- The first write takes away, so that sweeping still works when Redis is at its memory limit.
redis.call('ZREM', KEYS[1], '')
-- Lanes that are due and rung come first when they have waited longest; those behind them must be found all the same.
for from = 0, most - 1, PAGE do
  local page = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', from, PAGE)
  local lanes = of_these_kinds(page)
  local bells = #lanes > 0 and redis.call('HMGET', KEYS[2], unpack(lanes)) or {}
  for i, lane in ipairs(lanes) do
    local generation, rung_until, slow = string.match(bells[i] or '0 0 0', '^(%d+) (%d+) (%d)$')
    if tonumber(rung_until) <= now then
      generation = string.format('%.0f', tonumber(generation) + 1)
      redis.call('HSET', KEYS[2], lane, generation .. ' ' .. until_ms .. ' ' .. slow)
      local at = #rings
      rings[at + 1], rings[at + 2], rings[at + 3] = lane, generation, slow
      if #rings >= 3 * limit then return rings end
    end
  end
  if #page < PAGE then break end
end
return rings
