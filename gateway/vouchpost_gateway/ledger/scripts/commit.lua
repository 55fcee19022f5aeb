-- uses: _lane
-- Commits a verdict: its section of the record, the event and one delivery per matching subscription, together.
-- A repeat finds the token gone and answers 'stale'; the deliveries of a verdict have keys derived from it.
-- KEYS: the verification lane, record, dead verifications, verdict cache entry, then the lane of each subscription
-- ARGV: lane id, stem, token, revision of the subscription set ('' when there is no event), sections, event item, queue,
--       cache ttl ms (0: forget the mark), ring ms, wake channel, recheck delay ms ('' for none), dead ('1' | '0'),
--       done channel, cap of the latest list, number of lanes, then their ids
-- Answers {'ok' | 'stale' | 'changed' | 'gone', {lane id, generation, slow, …}}
local lane = lane_at(1, ARGV[1])
local record, dead_letters, cache = KEYS[12], KEYS[13], KEYS[14]
local stem, token, expected, item = ARGV[2], ARGV[3], ARGV[4], ARGV[6]
local queue, cache_ms, ring_ms, wake_channel = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]
local recheck_ms, dead, latest_cap, lanes = ARGV[11], ARGV[12], tonumber(ARGV[14]), tonumber(ARGV[15])

local held = redis.call('HGET', lane[TOKEN], stem)
if not held or string.match(held, '^(%d+) ') ~= token then return {'stale', {}} end
if expected ~= '' and (redis.call('HGET', lane[COUNTERS], 'subscriptions') or '0') ~= expected then
  return {'changed', {}}
end
local text = redis.call('GET', record)
local now = clock()

redis.call('ZREM', lane[FLIGHT], stem)
redis.call('HDEL', lane[TOKEN], stem)
redis.call('HDEL', lane[STATE], stem)
redis.call('HDEL', lane[META], 'full')
if not text then
  index(lane)
  return {'gone', {}}
end
redis.call('SET', record, text .. ARGV[5])
if cache_ms > 0 then
  redis.call('SET', cache, stem, 'PX', cache_ms)
elseif redis.call('GET', cache) == '~' .. stem then
  redis.call('DEL', cache)
end
if dead == '1' then redis.call('ZADD', dead_letters, 0, stem) else redis.call('ZREM', dead_letters, stem) end
if recheck_ms ~= '' then
  redis.call('ZADD', lane[LOW], string.format('%.0f', now + tonumber(recheck_ms)), stem)
end
index(lane)

local rings = {}
for i = 1, lanes do
  local target = lane_at(15 + (i - 1) * LANE_KEYS, ARGV[15 + i])
  redis.call('ZADD', target[HIGH + queue], 'NX', string.format('%.0f', now), item)
  redis.call('ZADD', target[LATEST], 0, item)
  redis.call('ZREMRANGEBYRANK', target[LATEST], 0, -latest_cap - 1)
  local generation, slow = wake(target, now, ring_ms, wake_channel)
  if generation then
    local at = #rings
    rings[at + 1], rings[at + 2], rings[at + 3] = target.id, string.format('%.0f', generation), slow
  end
end
redis.call('PUBLISH', ARGV[13], stem)
return {'ok', rings}
