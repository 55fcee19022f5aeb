-- uses: _lane
-- Accepts a lot of verifications: of each its record, idempotency entry, index entry and place in line, or nothing.
-- A repeat finds its record (same stem) or its idempotency entry, and answers what the first run answered.
-- KEYS: the verification lane, hours, then for each: record, hour index, idempotency entry (its record without one)
-- ARGV: lane id, record head, idempotency ttl ms, max items, max age ms, ring ms, wake channel, then for each:
--       stem, hour, queue (0..2), record tail, body digest ('' without an idempotency entry)
-- Answers {generation to ring or '', then for each 'new' | 'repeat' | 'conflict' | 'full' | 'old', stem, sequence}
local lane = lane_at(1, ARGV[1])
local hours = KEYS[LANE_KEYS + 1]
local head, idempotency_ms, max_items, max_age_ms = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])

local now, time = clock()
-- What is due within the time that the line may be old is work to come; rechecks of what was answered wait in the same
-- sets for hours, and an hour of broken name servers must not close the door for the next six.
local horizon, waiting = string.format('%.0f', now + max_age_ms), 0
for part = HIGH, LOW do waiting = waiting + redis.call('ZCOUNT', lane[part], '-inf', horizon) end

local oldest = {}
local function is_old(queue)
  if oldest[queue] == nil then oldest[queue] = first_score(lane[HIGH + queue]) or now end
  return oldest[queue] < now - max_age_ms
end

-- Not less than the clock, so that a counter lost with its Redis does not make every later result stale.
local last = number_of(redis.call('HGET', lane[COUNTERS], 'sequence')) or 0
local due, accepted, indexed = {{}, {}, {}}, 0, {}

local function store(stem, hour, queue, tail, digest, record, hour_index, entry)
  last = math.max(last + 1, time[1] * 1000000 + time[2])
  local sequence = string.format('%.0f', last)
  redis.call('SET', record, head .. sequence .. tail)
  if digest ~= '' then redis.call('SET', entry, stem .. sequence .. digest, 'PX', idempotency_ms) end
  if not indexed[hour] and redis.call('EXISTS', hour_index) == 0 then redis.call('ZADD', hours, hour, hour) end
  indexed[hour] = true
  redis.call('ZADD', hour_index, 0, stem)
  local line = due[queue + 1]
  line[#line + 1], line[#line + 2] = string.format('%.0f', now), stem
  accepted = accepted + 1
  return 'new', stem, sequence
end

local function answer(at, key)
  local stem, digest, record, entry = ARGV[at], ARGV[at + 4], KEYS[key], KEYS[key + 2]
  local known = redis.call('GETRANGE', record, 0, 17)
  if known ~= '' then return 'repeat', stem, string.sub(known, 3) end
  known = digest ~= '' and redis.call('GET', entry)
  if known then
    if string.sub(known, 36) ~= digest then return 'conflict', '', '' end
    return 'repeat', string.sub(known, 1, 19), string.sub(known, 20, 35)
  end
  local queue = tonumber(ARGV[at + 2])
  if waiting + accepted >= max_items then return 'full', '', '' end
  if is_old(queue) then return 'old', '', '' end
  return store(stem, ARGV[at + 1], queue, ARGV[at + 3], digest, record, KEYS[key + 1], entry)
end

local answers, key = {''}, LANE_KEYS + 2
for at = 8, #ARGV, 5 do
  local n = #answers
  answers[n + 1], answers[n + 2], answers[n + 3] = answer(at, key)
  key = key + 3
end
if accepted > 0 then
  redis.call('HSET', lane[COUNTERS], 'sequence', string.format('%.0f', last))
  redis.call('HSETNX', lane[META], 'live', 1)
  for queue = 0, 2 do
    if #due[queue + 1] > 0 then redis.call('ZADD', lane[HIGH + queue], unpack(due[queue + 1])) end
  end
  answers[1] = wake(lane, add_to_index(lane, now, due_of(lane)), now, tonumber(ARGV[6]), ARGV[7]) or ''
end
return answers
