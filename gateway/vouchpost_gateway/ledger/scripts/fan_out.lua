-- uses: _lane
-- Hands a lot of events out to some of the subscriptions of a crowd: to each its delivery of each event.
-- A repeat finds each event among the latest of each lane, and adds nothing.
-- KEYS: the lane of each subscription
-- ARGV: ring ms, wake channel, cap of the latest list, number of events, then for each: item, queue; then lane ids
-- Answers {lane id, generation, slow, …}
local ring_ms, wake_channel, latest_cap, count = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local FIELDS, FIRST = 2, 5
local items, queues, first_id = {}, {}, FIRST + FIELDS * count
for i = 1, count do
  items[i], queues[i] = ARGV[FIRST + FIELDS * (i - 1)], tonumber(ARGV[FIRST + FIELDS * (i - 1) + 1])
end

-- The first write takes away, so that deliveries go on when Redis is at its memory limit.
redis.call('ZREM', KEYS[DUE], '')
local now = clock()
local due = string.format('%.0f', now)

-- Those that the lane has not had yet, by priority, and for the list of its latest.
local function new_to(lane)
  local lines, latest = {{}, {}, {}}, {}
  local known = redis.call('ZMSCORE', lane[LATEST], unpack(items))
  for i, item in ipairs(items) do
    if not known[i] then
      local line = lines[queues[i] + 1]
      line[#line + 1], line[#line + 2] = due, item
      latest[#latest + 1], latest[#latest + 2] = 0, item
    end
  end
  return lines, latest
end

local rings = {}
local dues = redis.call('ZMSCORE', KEYS[DUE], unpack(ARGV, first_id))
for i = 0, #dues - 1 do
  local lane = lane_at(1 + i * LANE_KEYS, ARGV[first_id + i])
  if redis.call('EXISTS', lane[META]) == 1 then -- a lane that is gone would never be drained
    local lines, latest = new_to(lane)
    if #latest > 0 then
      hand_out(lane, lines, latest, latest_cap)
      wake_one_of_many(rings, lane, add_to_index(lane, now, number_of(dues[i + 1])), now, ring_ms, wake_channel)
    end
  end
end
return rings
