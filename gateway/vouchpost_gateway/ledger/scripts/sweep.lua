-- Rings the lanes of a partition that are due and silent, each at its next generation. Level-triggered: it looks at
-- what is, not at what happened, so running it twice, or on every worker at once, rings nothing twice.
-- KEYS: due lanes, bells
-- ARGV: limit, ring ms
-- Answers {lane id, generation, slow, …}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local rings = {}
-- The first write takes away, so that sweeping still works when Redis is at its memory limit.
redis.call('ZREM', KEYS[1], '')
for _, lane in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local text = redis.call('HGET', KEYS[2], lane) or '0 0 0'
  local generation, rung_until, slow = string.match(text, '^(%d+) (%d+) (%d)$')
  if tonumber(rung_until) <= now then
    local next_generation = string.format('%.0f', tonumber(generation) + 1)
    redis.call('HSET', KEYS[2], lane, next_generation .. ' ' .. string.format('%.0f', now + tonumber(ARGV[2])) .. ' ' .. slow)
    local at = #rings
    rings[at + 1], rings[at + 2], rings[at + 3] = lane, next_generation, slow
  end
end
return rings
