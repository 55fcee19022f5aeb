-- uses: _lane
-- One turn of draining a lane: settles what has ended, claims what is due, and decides about the bell,
-- all in the step of its last look. Settling checks the fencing token, so a repeat settles nothing twice;
-- a repeated claim only leases more, and those leases end by themselves.
-- KEYS: the lane, dead letters, then the record of each settlement that ends a delivery
-- ARGV: lane id, generation (0: settle only), want, lease ms, ring ms, wake channel, then
--       what next ('hold' | 'end'), linger ms, cap of the lane, cap of the tenant's fast lanes, of its slow ones,
--       delivered count, failed count, slow ('' | '0' | '1'), throttle ms (0: none), slowdowns ('' or a number),
--       stretch (by how much what is in flight for long may raise the cap of the lane), number of settlements,
--       then for each: kind ('delivered' | 'done' | 'later' | 'dead'), item, token, delay ms, state, section, dead letter id
-- Answers {seconds, microseconds, generation to ring or '', slow, next due ms or '', verdict on the bell,
--          failing since ms or '', failures, slowdowns, {answer per settlement}, {item, token, claims, queue, state, …},
--          revision of the subscription set}
local lane = lane_at(1, ARGV[1])
local dead_letters = KEYS[LANE_KEYS + 1]
local generation, want, lease_ms = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local ring_ms, wake_channel, next_step, linger_ms = tonumber(ARGV[5]), ARGV[6], ARGV[7], tonumber(ARGV[8])
local lane_cap, fast_cap, slow_cap = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local delivered, failed, set_slow = tonumber(ARGV[12]), tonumber(ARGV[13]), ARGV[14]
local throttle_ms, slowdowns, stretch, settlements = tonumber(ARGV[15]), ARGV[16], tonumber(ARGV[17]), tonumber(ARGV[18])
local LONG_MS = 500 -- what is in flight for so long waits for a slow peer, not for us
local SHORT_MS = 1000 -- for so long after a fast lane found no room, the tenant's others leave it some
local AWAY_MS, MAX_AWAY_MS = 5000, 300000 -- so long at least, and at most, a slow lane that found no room stays away
local MAX_SHARE = 10 -- of ten claims, the last goes to the least, and one in the middle to the middle priority

local now, time = clock()
local current, rung_until, slow = bell_of(lane)
local answers, claimed = {}, {}

-- The first write takes away, so that a turn still runs when Redis is at its memory limit.
redis.call('ZREM', lane[FLIGHT], '')

-- What is to be settled, as the ledger has it; kept up to date here, since a turn may settle an item or a record twice.
local FIELDS, FIRST = 7, 19
local tokens, leases, texts = {}, {}, {}

local function look()
  local items, records = {}, {}
  for i = 1, settlements do
    local at = FIRST + (i - 1) * FIELDS
    items[i] = ARGV[at + 1]
    if ARGV[at + 5] ~= '' then records[#records + 1] = KEYS[LANE_KEYS + 2 + #records] end
  end
  local held = redis.call('HMGET', lane[TOKEN], unpack(items))
  local ends = redis.call('ZMSCORE', lane[FLIGHT], unpack(items))
  for i, item in ipairs(items) do tokens[item], leases[item] = held[i], ends[i] end
  if #records == 0 then return end
  local found = redis.call('MGET', unpack(records))
  for i, record in ipairs(records) do texts[record] = found[i] end
end

local landed, ended = {}, {} -- what leaves the flight, and of it what leaves the lane; taken out all together, below

local function land(item)
  landed[#landed + 1] = item
  tokens[item], leases[item] = nil, nil
end

-- Takes an item out of the lane, wherever it is; whether it was there.
local function forget(item)
  local found = leases[item]
  for queue = HIGH, LOW do
    if not found then found = redis.call('ZREM', lane[queue], item) == 1 end
  end
  land(item)
  ended[#ended + 1] = item
  return found
end

local function append(record, section)
  local text = record and texts[record]
  if not text then return end
  texts[record] = text .. section
  redis.call('SET', record, texts[record])
end

local function settle(kind, item, token, delay_ms, state, section, dead_id, record)
  if kind == 'delivered' then
    -- A frozen worker's success is still a success: any token ever given will do, as long as the item is here or was
    -- given up meanwhile.
    if not forget(item) and redis.call('ZREM', dead_letters, dead_id) == 0 then return 'gone' end
    append(record, section)
    return 'ok'
  end
  local held, queue = string.match(tokens[item] or '', '^(%d+) %d+ (%d)$')
  if held ~= token then return 'stale' end
  append(record, section)
  if kind == 'later' then
    land(item)
    redis.call('ZADD', lane[HIGH + queue], string.format('%.0f', now + delay_ms), item)
    if state ~= '' then redis.call('HSET', lane[STATE], item, state) end
    return 'ok'
  end
  forget(item)
  if kind == 'dead' then redis.call('ZADD', dead_letters, 0, dead_id) end
  return 'ok'
end

if settlements > 0 then
  look()
  local position = LANE_KEYS + 2
  for i = 1, settlements do
    local at, record = FIRST + (i - 1) * FIELDS, nil
    if ARGV[at + 5] ~= '' then record, position = KEYS[position], position + 1 end
    answers[i] = settle(
      ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], record
    )
  end
  if #landed > 0 then
    redis.call('ZREM', lane[FLIGHT], unpack(landed))
    redis.call('HDEL', lane[TOKEN], unpack(landed))
  end
  if #ended > 0 then redis.call('HDEL', lane[STATE], unpack(ended)) end
end

-- Slow lanes that find no room come back one after another, at the pace at which places come free at the least: one with
-- each lease that ends. All at once, most would look in vain, again and again. When the last of those who wait comes:
local function last_booked()
  return number_of(redis.call('HGET', lane[COUNTERS], 'booked')) or 0
end

local function book(last)
  local at = math.max(last + lease_ms / slow_cap, now + AWAY_MS)
  at = math.min(at, now + MAX_AWAY_MS) -- of thousands that waited, most may be gone
  redis.call('HSET', lane[COUNTERS], 'booked', string.format('%.0f', at))
  return at
end

local function rest_until(time)
  local before = number_of(redis.call('HGET', lane[META], 'not_before')) or 0
  redis.call('HSET', lane[META], 'not_before', string.format('%.0f', math.max(before, time)))
end

local exists = redis.call('EXISTS', lane[META]) == 1
if exists then
  if set_slow ~= '' then slow = set_slow end
  if delivered > 0 then
    redis.call('HDEL', lane[META], 'failing_since', 'failures', 'slowdowns')
    local window = number_of(redis.call('HGET', lane[META], 'window')) or 1
    if window < lane_cap then redis.call('HSET', lane[META], 'window', math.min(lane_cap, window * 2)) end
  end
  if failed > 0 then
    redis.call('HSETNX', lane[META], 'failing_since', string.format('%.0f', now))
    redis.call('HINCRBY', lane[META], 'failures', failed)
    local window = number_of(redis.call('HGET', lane[META], 'window')) or 1
    redis.call('HSET', lane[META], 'window', math.max(1, math.floor(window / 2)))
  end
  if throttle_ms > 0 then
    local rest_end = now + throttle_ms
    if slow == '1' and slow_cap > 0 then -- behind those who wait: or it would have its place again, and they none
      local last = last_booked()
      if last > rest_end then rest_end = math.max(rest_end, book(last)) end
    end
    rest_until(rest_end)
  end
  if slowdowns ~= '' then redis.call('HSET', lane[META], 'slowdowns', slowdowns) end
end

-- The picks of the next `room` items: expired leases first, then by priority with a tenth left to the rest.
local function due_items(room)
  local picks = {}
  for _, item in ipairs(redis.call('ZRANGEBYSCORE', lane[FLIGHT], '-inf', now, 'LIMIT', 0, room)) do
    picks[#picks + 1] = {item, nil}
  end
  local not_before = number_of(redis.call('HGET', lane[META], 'not_before'))
  if redis.call('HGET', lane[META], 'paused') or (not_before and not_before > now) then return picks end
  local lists, heads = {}, {1, 1, 1}
  for queue = 0, 2 do
    lists[queue] = redis.call('ZRANGEBYSCORE', lane[HIGH + queue], '-inf', now, 'LIMIT', 0, room)
  end
  local turns = number_of(redis.call('HGET', lane[META], 'turns')) or 0
  while #picks < room do
    turns = turns + 1
    local order = {0, 1, 2}
    if turns % MAX_SHARE == 0 then order = {2, 1, 0} elseif turns % MAX_SHARE == 5 then order = {1, 2, 0} end
    local found = false
    for _, queue in ipairs(order) do
      local item = lists[queue][heads[queue + 1]]
      if item then
        heads[queue + 1] = heads[queue + 1] + 1
        picks[#picks + 1] = {item, queue}
        found = true
        break
      end
    end
    if not found then break end
  end
  if math.max(#lists[0], #lists[1], #lists[2]) < #lists[0] + #lists[1] + #lists[2] then
    redis.call('HSET', lane[META], 'turns', turns % MAX_SHARE)
  end
  return picks
end

local function claim(room)
  local token = number_of(redis.call('HGET', lane[META], 'token')) or 0
  local picks = due_items(room)
  if #picks == 0 then return end
  local lease_end = string.format('%.0f', now + lease_ms)
  local items, leases, tokens, taken = {}, {}, {}, {{}, {}, {}}
  for i, pick in ipairs(picks) do
    local item, queue, claims = pick[1], pick[2], 1
    if queue then
      table.insert(taken[queue + 1], item)
    else
      local _, before, kept = string.match(redis.call('HGET', lane[TOKEN], item) or '0 0 1', '^(%d+) (%d+) (%d)$')
      claims, queue = tonumber(before) + 1, tonumber(kept)
    end
    token = token + 1
    items[i] = item
    leases[2 * i - 1], leases[2 * i] = lease_end, item
    tokens[2 * i - 1], tokens[2 * i] = item, string.format('%.0f %.0f %.0f', token, claims, queue)
    local at = #claimed
    claimed[at + 1], claimed[at + 2], claimed[at + 3] = item, string.format('%.0f', token), claims
    claimed[at + 4] = queue
    claimed[at + 5] = ''
  end
  for queue = 0, 2 do
    if #taken[queue + 1] > 0 then redis.call('ZREM', lane[HIGH + queue], unpack(taken[queue + 1])) end
  end
  redis.call('ZADD', lane[FLIGHT], unpack(leases))
  redis.call('HSET', lane[TOKEN], unpack(tokens))
  redis.call('HSET', lane[META], 'token', string.format('%.0f', token))
  for i, state in ipairs(redis.call('HMGET', lane[STATE], unpack(items))) do claimed[5 * i] = state or '' end
end

local mine = generation > 0 and generation == current and exists
local crowded = false
if mine and want > 0 then
  if fast_cap > 0 then recount(lane, now, slow) end
  local cap, further = lane_cap, 0 -- and what time alone may add to it
  if stretch > 0 then
    local since = string.format('%.0f', now + lease_ms - LONG_MS)
    local long = math.min(stretch, redis.call('ZCOUNT', lane[FLIGHT], '(' .. string.format('%.0f', now), since))
    cap, further = cap + long, stretch - long
  end
  if fast_cap > 0 then cap = math.min(cap, number_of(redis.call('HGET', lane[META], 'window')) or 1) end
  if slow == '1' then cap = 1 end
  local tenant_cap = slow == '1' and slow_cap or fast_cap
  local room = math.min(want, cap - redis.call('ZCOUNT', lane[FLIGHT], '(' .. string.format('%.0f', now), '+inf'))
  if tenant_cap > 0 then
    local taken, short = unpack(redis.call('HMGET', lane[COUNTERS], 'flight' .. slow, 'short0'))
    local free = tenant_cap - (number_of(taken) or 0)
    if room > 0 and free > 0 and slow == '0' and (number_of(short) or 0) > now then
      room = math.ceil(math.min(room, free) / 2) -- of what came free, half is for those who wait
    elseif room > 0 and free <= 0 then
      -- The tenant is at its limit: make way, and look again later.
      if slow == '1' then
        rest_until(book(last_booked()))
      else
        redis.call('HSET', lane[COUNTERS], 'short0', string.format('%.0f', now + SHORT_MS))
        rest_until(now + 250)
      end
      crowded = redis.call('ZCARD', lane[FLIGHT]) == 0
    end
    room = math.min(room, free)
  end
  if room > 0 then claim(room) end
  -- At its cap, only a settlement or the end of a lease can make room: until then nothing here is due.
  if cap > 0 and redis.call('ZCARD', lane[FLIGHT]) >= cap + further then
    redis.call('HSET', lane[META], 'full', 1)
  else
    redis.call('HDEL', lane[META], 'full')
  end
elseif exists and settlements > 0 then
  redis.call('HDEL', lane[META], 'full')
end
if exists and fast_cap > 0 then recount(lane, now, slow) end

local ring, bell = '', 'superseded'
local due = exists and index(lane) or nil
if mine then
  redis.call('HDEL', lane[META], 'lingers')
  if next_step == 'end' or crowded then
    if due and due <= now then
      ring, bell = generation + 1, 'handed'
      set_bell(lane, ring, now + ring_ms, slow)
    else
      bell = 'idle'
      set_bell(lane, generation, 0, slow)
    end
  else
    bell = 'held'
    local hold = ring_ms
    if #claimed == 0 then
      redis.call('HSET', lane[META], 'lingers', 1)
      hold = hold + linger_ms
    end
    set_bell(lane, generation, now + hold, slow)
  end
elseif exists and settlements > 0 then -- the index was made exact above
  ring = wake(lane, due, now, ring_ms, wake_channel) or ''
  if set_slow ~= '' then
    local g, u = bell_of(lane)
    set_bell(lane, g, u, slow)
  end
end
local health = exists and redis.call('HMGET', lane[META], 'failing_since', 'failures', 'slowdowns') or {}
return {
  time[1], time[2], ring, slow, due and string.format('%.0f', due) or '', bell,
  health[1] or '', health[2] or '0', health[3] or '0', answers, claimed,
  redis.call('HGET', lane[COUNTERS], 'subscriptions') or '0',
}
