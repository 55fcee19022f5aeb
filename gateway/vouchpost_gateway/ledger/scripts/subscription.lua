-- uses: _lane
-- Writes a subscription, and with it, when given, an event that stands alone and its deliveries.
-- A repeat finds the version moved on and answers 'changed' with the stored one, or the event's record there.
-- KEYS: lane of the subscription, subscriptions, versions, changes, then (event) record, hours, hour index, target lanes
-- ARGV: lane id, number (4 characters), version expected ('' when the subscription is not written), the subscription
--       ('' deletes it), paused ('1' | '0'), maximum number of subscriptions, ring ms, wake channel,
--       stem ('' for no event), hour, item, record head, record tail, latest cap, number of targets, then their ids,
--       then the revision of the set they were matched in ('' for any), and '1' where the failures and the rest of a
--       subscription that is written are forgotten, as it moved, or the rest of the targets, which are to be tried now
-- Answers {'ok' | 'changed' | 'full', {lane id, generation, slow, …}}
local lane = lane_at(1, ARGV[1])
local subscriptions, versions, changes = KEYS[12], KEYS[13], KEYS[14]
local number, expected, packed, paused = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local ring_ms, wake_channel, stem = tonumber(ARGV[7]), ARGV[8], ARGV[9]

if expected ~= '' then
  local version = redis.call('HGET', versions, number) or '0'
  if version ~= expected then return {'changed', {}} end
  if version == '0' and redis.call('HLEN', subscriptions) >= tonumber(ARGV[6]) then return {'full', {}} end
end
if stem ~= '' and redis.call('EXISTS', KEYS[15]) == 1 then return {'ok', {}} end
local set_revision, anew = ARGV[16 + tonumber(ARGV[15])], ARGV[17 + tonumber(ARGV[15])] == '1'
if set_revision ~= '' and (redis.call('HGET', lane[COUNTERS], 'subscriptions') or '0') ~= set_revision then
  return {'changed', {}}
end

local now, time = clock()
local rings = {}

if expected ~= '' then
  -- What is removed is taken away first, so that it can be when Redis is at its memory limit.
  if packed == '' then
    redis.call('HDEL', subscriptions, number)
    redis.call('HDEL', versions, number)
  end
  -- By the clock, as sequences are: a set that a failover took back must not come again, as another one.
  local revision = number_of(redis.call('HGET', lane[COUNTERS], 'subscriptions')) or 0
  revision = string.format('%.0f', math.max(revision + 1, time[1] * 1000000 + time[2]))
  redis.call('HSET', lane[COUNTERS], 'subscriptions', revision)
  redis.call('ZADD', changes, revision, number)
  if packed == '' then
    redis.call('ZREM', lane[DUE], lane.id)
    redis.call('HDEL', lane[BELL], lane.id)
    local counted = redis.call('HGET', lane[META], 'counted')
    if counted then
      local count, class = string.match(counted, '^(%d+) (%d)$')
      redis.call('HINCRBY', lane[COUNTERS], 'flight' .. class, -tonumber(count))
    end
    for part = HIGH, LATEST do redis.call('UNLINK', lane[part]) end
  else
    redis.call('HSET', subscriptions, number, packed)
    redis.call('HINCRBY', versions, number, 1)
    redis.call('HSETNX', lane[META], 'live', 1)
    if paused == '1' then
      redis.call('HSET', lane[META], 'paused', 1)
    else
      if redis.call('HDEL', lane[META], 'paused') == 1 or anew then
        redis.call('HDEL', lane[META], 'failing_since', 'failures', 'slowdowns', 'not_before')
      end
    end
    wake_one_of_many(rings, lane, index(lane), now, ring_ms, wake_channel)
  end
end

if stem ~= '' then
  local sequence = string.format('%.0f', time[1] * 1000000 + time[2])
  redis.call('SET', KEYS[15], ARGV[12] .. sequence .. ARGV[13])
  redis.call('ZADD', KEYS[16], ARGV[10], ARGV[10])
  redis.call('ZADD', KEYS[17], 0, stem)
  for i = 1, tonumber(ARGV[15]) do
    local target = lane_at(18 + (i - 1) * LANE_KEYS, ARGV[15 + i])
    if redis.call('EXISTS', target[META]) == 1 then -- a lane that is gone would never be drained
      hand_out(target, {{string.format('%.0f', now), ARGV[11]}, {}, {}}, {0, ARGV[11]}, tonumber(ARGV[14]))
      local due = due_of(target)
      if anew then
        end_rest(target)
        due = index(target)
      else
        due = add_to_index(target, now, due)
      end
      wake_one_of_many(rings, target, due, now, ring_ms, wake_channel)
    end
  end
end
return {'ok', rings}
