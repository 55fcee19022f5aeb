-- What every script that touches a lane needs. Nothing in here raises after the first write.
-- A lane's keys always come in this order (see keys.Lane.keys):
local DUE, BELL, HIGH, NORMAL, LOW, FLIGHT, TOKEN, STATE, META, LATEST, COUNTERS = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
local LANE_KEYS = 11

local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000), t
end

-- The keys of the lane that starts at this position of KEYS.
local function lane_at(position, id)
  local keys = {id = id}
  for i = 1, LANE_KEYS do keys[i] = KEYS[position + i - 1] end
  return keys
end

local function number_of(text) return tonumber(text or '') end

-- The bell of a lane: generation, until when it counts as rung (0 when a drain ended it), and whether the lane is slow.
local function bell_of(lane)
  local text = redis.call('HGET', lane[BELL], lane.id)
  if not text then return 0, 0, '0' end
  local generation, rung_until, slow = string.match(text, '^(%d+) (%d+) (%d)$')
  return tonumber(generation), tonumber(rung_until), slow
end

local function set_bell(lane, generation, rung_until, slow)
  redis.call('HSET', lane[BELL], lane.id, string.format('%.0f %.0f %s', generation, rung_until, slow))
end

local function first_score(key)
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return number_of(first[2])
end

-- When the lane next has something that may be done: due work, unless paused, throttled or as full of work in
-- flight as it may be, or a lease that ends.
local function earliest(lane)
  local due = nil
  local meta = redis.call('HMGET', lane[META], 'paused', 'full', 'not_before')
  if not meta[1] and not meta[2] then
    for queue = HIGH, LOW do
      local score = first_score(lane[queue])
      if score and (not due or score < due) then due = score end
    end
    local not_before = number_of(meta[3])
    if due and not_before and not_before > due then due = not_before end
  end
  local lease_end = first_score(lane[FLIGHT])
  if lease_end and (not due or lease_end < due) then due = lease_end end
  return due
end

-- Keeps the partition's index of due lanes exact.
local function index(lane)
  local due = earliest(lane)
  if due then
    redis.call('ZADD', lane[DUE], string.format('%.0f', due), lane.id)
  else
    redis.call('ZREM', lane[DUE], lane.id)
  end
  return due
end

-- In flight, per class, for the whole world: what this lane counted last time is replaced by what it counts now. A lease
-- that ended counts no more, or a worker that died would take its tenant's room with it.
local function recount(lane, now, slow)
  local before = redis.call('HGET', lane[META], 'counted')
  if before then
    local count, class = string.match(before, '^(%d+) (%d)$')
    redis.call('HINCRBY', lane[COUNTERS], 'flight' .. class, -tonumber(count))
  end
  local count = redis.call('ZCOUNT', lane[FLIGHT], '(' .. string.format('%.0f', now), '+inf')
  if count > 0 then
    redis.call('HINCRBY', lane[COUNTERS], 'flight' .. slow, count)
    redis.call('HSET', lane[META], 'counted', count .. ' ' .. slow)
  elseif before then
    redis.call('HDEL', lane[META], 'counted')
  end
end

-- The same after adding work that is due now, for less, given when the index has the lane due: such work makes nothing due
-- later, and in a lane that is paused or full nothing at all until a lease ends, which the index knows.
local function add_to_index(lane, now, due)
  if due and due <= now then return due end
  local meta = redis.call('HMGET', lane[META], 'paused', 'full', 'not_before')
  if meta[1] or meta[2] then return due end
  local from = math.max(now, number_of(meta[3]) or now)
  if due and due <= from then return due end
  redis.call('ZADD', lane[DUE], string.format('%.0f', from), lane.id)
  return from
end

-- Puts events, of each priority those that come due together, in line of a subscription. `latest` names all of them.
local function hand_out(lane, lines, latest, latest_cap)
  for queue = 0, 2 do
    if #lines[queue + 1] > 0 then redis.call('ZADD', lane[HIGH + queue], 'NX', unpack(lines[queue + 1])) end
  end
  redis.call('ZADD', lane[LATEST], unpack(latest))
  redis.call('ZREMRANGEBYRANK', lane[LATEST], 0, -latest_cap - 1)
end

-- Somebody wants this lane to try now, whatever it was told to wait for: how many may go at once stays as it is, and the
-- next answer that asks for a rest makes it rest again.
local function end_rest(lane) redis.call('HDEL', lane[META], 'not_before') end

local function due_of(lane) return number_of(redis.call('ZSCORE', lane[DUE], lane.id)) end

-- After adding work, with the time at which the index has the lane due: decides whether to ring. Only idle -> rung rings;
-- a drain that lingers is woken instead, and one whose ring was lost is left to the sweeper: a worker that can drain it
-- if need be, while whoever adds may not. Returns the generation to ring, or nil, and whether the lane is slow.
local function wake(lane, due, now, ring_ms, wake_channel)
  if not due or due > now then return nil, '0' end
  local generation, rung_until, slow = bell_of(lane)
  if rung_until > 0 then
    if redis.call('HDEL', lane[META], 'lingers') == 1 then redis.call('PUBLISH', wake_channel, lane.id) end
    return nil, slow
  end
  set_bell(lane, generation + 1, now + ring_ms, slow)
  return generation + 1, slow
end

-- The same for a script that adds to many lanes, which answers {lane id, generation, slow, …}.
local function wake_one_of_many(rings, lane, due, now, ring_ms, wake_channel)
  local generation, slow = wake(lane, due, now, ring_ms, wake_channel)
  if not generation then return end
  local at = #rings
  rings[at + 1], rings[at + 2], rings[at + 3] = lane.id, string.format('%.0f', generation), slow
end
