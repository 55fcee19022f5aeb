-- uses: _lane
-- Commits a lot of verdicts: of each its section of the record, the event and one delivery per matching subscription,
-- together or not at all. All of a lot go to the same subscriptions. Of a crowd of them, some are named in a place in the
-- world's fan-out lane instead, from where `fan_out` hands the event out to them.
-- A repeat finds the tokens gone and answers 'stale'; the deliveries of a verdict have keys derived from it.
-- KEYS: the verification lane, dead verifications, then for each: record, verdict cache entry (its record for none),
--       then the lane of each subscription, then the fan-out lane if there is one
-- ARGV: lane id, revision of the subscription set ('' when there are no events), ring ms, wake channel, cap of the
--       latest list, fan-out lane id ('' for none), whom it is for, pace ms (it is due at the next multiple of it, 0: now),
--       number of verdicts, then for each: stem, token, sections, event item, queue, cache ttl ms (0: forget
--       the mark, '': there is no entry), recheck delay ms ('' for none), dead ('1' | '0'), done channel; then lane ids
-- Answers {'ok' | 'changed', {'ok' | 'stale' | 'gone' for each}, {lane id, generation, slow, …}}
local lane = lane_at(1, ARGV[1])
local expected, ring_ms, wake_channel, latest_cap = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local fan_out_id, fan_out_to, pace_ms = ARGV[6], ARGV[7], tonumber(ARGV[8])
local count, dead_letters = tonumber(ARGV[9]), KEYS[LANE_KEYS + 1]
local FIELDS, FIRST = 9, 10

if expected ~= '' and (redis.call('HGET', lane[COUNTERS], 'subscriptions') or '0') ~= expected then
  return {'changed', {}, {}}
end

-- Those whose lease is still ours, with what is stored of them.
local stems, answers, ours = {}, {}, {}
for i = 1, count do stems[i] = ARGV[FIRST + (i - 1) * FIELDS] end
local held, taken = redis.call('HMGET', lane[TOKEN], unpack(stems)), {}
for i = 1, count do
  local at = FIRST + (i - 1) * FIELDS
  if held[i] and string.match(held[i], '^(%d+) ') == ARGV[at + 1] and not taken[stems[i]] then
    taken[stems[i]] = true
    ours[#ours + 1] = {
      i = i, stem = stems[i], sections = ARGV[at + 2], item = ARGV[at + 3], queue = ARGV[at + 4], cache_ms = ARGV[at + 5],
      recheck_ms = ARGV[at + 6], dead = ARGV[at + 7] == '1', channel = ARGV[at + 8],
      record = KEYS[LANE_KEYS + 2 * i], cache = KEYS[LANE_KEYS + 2 * i + 1],
    }
  else
    answers[i] = 'stale'
  end
end
if #ours == 0 then return {'ok', answers, {}} end
local records, leaving = {}, {}
for i, one in ipairs(ours) do records[i], leaving[i] = one.record, one.stem end
local texts = redis.call('MGET', unpack(records))
local now = clock()

redis.call('ZREM', lane[FLIGHT], unpack(leaving))
redis.call('HDEL', lane[TOKEN], unpack(leaving))
redis.call('HDEL', lane[STATE], unpack(leaving))
redis.call('HDEL', lane[META], 'full')

local function remember(one)
  if one.cache_ms == '' then return end
  if tonumber(one.cache_ms) > 0 then
    redis.call('SET', one.cache, one.stem, 'PX', one.cache_ms)
  elseif redis.call('GET', one.cache) == '~' .. one.stem then
    redis.call('DEL', one.cache)
  end
end

local items, latest, alive = {{}, {}, {}}, {}, {}
for i, one in ipairs(ours) do
  if texts[i] then
    redis.call('SET', one.record, texts[i] .. one.sections)
    remember(one)
    if one.recheck_ms ~= '' then
      redis.call('ZADD', lane[LOW], string.format('%.0f', now + tonumber(one.recheck_ms)), one.stem)
    end
    if one.dead then redis.call('ZADD', dead_letters, 0, one.stem) else alive[#alive + 1] = one.stem end
    table.insert(items[one.queue + 1], one.item)
    latest[#latest + 1], latest[#latest + 2] = 0, one.item
    redis.call('PUBLISH', one.channel, one.stem)
    answers[one.i] = 'ok'
  else
    answers[one.i] = 'gone'
  end
end
if #alive > 0 then redis.call('ZREM', dead_letters, unpack(alive)) end
index(lane)

-- The items by priority, as ZADD takes them, all due at a time.
local function lines(time)
  local due, found = string.format('%.0f', time), {{}, {}, {}}
  for queue = 1, 3 do
    local line = found[queue]
    for _, item in ipairs(items[queue]) do line[#line + 1], line[#line + 2] = due, item end
  end
  return found
end

local rings, first_lane, first_id = {}, LANE_KEYS + 2 + 2 * count, FIRST + FIELDS * count
if #latest == 0 then return {'ok', answers, rings} end
local now_due = lines(now)
local dues = #ARGV >= first_id and redis.call('ZMSCORE', lane[DUE], unpack(ARGV, first_id)) or {}
for i = 0, #dues - 1 do
  local target = lane_at(first_lane + i * LANE_KEYS, ARGV[first_id + i])
  hand_out(target, now_due, latest, latest_cap)
  wake_one_of_many(rings, target, add_to_index(target, now, number_of(dues[i + 1])), now, ring_ms, wake_channel)
end
if fan_out_id ~= '' then
  local line = lane_at(first_lane + #dues * LANE_KEYS, fan_out_id)
  local from = pace_ms > 0 and now - now % pace_ms + pace_ms or now
  local states = {}
  for queue, due in ipairs(lines(from)) do
    if #due > 0 then redis.call('ZADD', line[HIGH + queue - 1], unpack(due)) end
    for _, item in ipairs(items[queue]) do states[#states + 1], states[#states + 2] = item, fan_out_to end
  end
  redis.call('HSET', line[STATE], unpack(states))
  redis.call('HSETNX', line[META], 'live', 1)
  wake_one_of_many(rings, line, add_to_index(line, from, due_of(line)), now, ring_ms, wake_channel)
end
return {'ok', answers, rings}
