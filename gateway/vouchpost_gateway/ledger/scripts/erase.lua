-- uses: _lane
-- Erases a record and everything that points at it. A repeat finds nothing left to erase.
-- KEYS: the verification lane, record, hour index, dead verifications, dead deliveries, cache entry, then the lane of
--       each subscription its events went to, and the fan-out lane
-- ARGV: lane id, stem, sha1 of the record as read, '1' to leave a verification that is in line or in flight alone,
--       number of lanes, then for each: lane id, number of items, items;
--       then number of dead letter ids, ids, done channel
-- Answers 'ok' | 'changed' | 'gone'
local lane = lane_at(1, ARGV[1])
local record, stem = KEYS[12], ARGV[2]
local text = redis.call('GET', record)
if not text then return 'gone' end
if redis.sha1hex(text) ~= ARGV[3] then return 'changed' end
if ARGV[4] == '1' then
  for part = HIGH, FLIGHT do
    if redis.call('ZSCORE', lane[part], stem) then return 'changed' end
  end
end

local function forget(target, item)
  redis.call('ZREM', target[FLIGHT], item)
  for part = HIGH, LOW do redis.call('ZREM', target[part], item) end
  redis.call('HDEL', target[TOKEN], item)
  redis.call('HDEL', target[STATE], item)
  redis.call('ZREM', target[LATEST], item)
  redis.call('HDEL', target[META], 'full')
end

local now = clock()

forget(lane, stem)
index(lane)
local at = 6
for i = 1, tonumber(ARGV[5]) do
  local target = lane_at(17 + (i - 1) * LANE_KEYS, ARGV[at])
  local count = tonumber(ARGV[at + 1])
  for j = 1, count do forget(target, ARGV[at + 1 + j]) end
  if redis.call('HEXISTS', target[META], 'counted') == 1 then
    local _, _, slow = bell_of(target)
    recount(target, now, slow)
  end
  index(target)
  at = at + 2 + count
end
for i = 1, tonumber(ARGV[at]) do redis.call('ZREM', KEYS[15], ARGV[at + i]) end
redis.call('ZREM', KEYS[14], stem)
redis.call('ZREM', KEYS[13], stem)
redis.call('UNLINK', record)
local cached = redis.call('GET', KEYS[16])
if cached == stem or cached == '~' .. stem then redis.call('DEL', KEYS[16]) end
redis.call('PUBLISH', ARGV[#ARGV], stem) -- nobody needs to wait for it any more
return 'ok'
