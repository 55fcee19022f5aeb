-- uses: _lane
-- Accepts one verification: record, idempotency entry, index entry and place in line, or nothing.
-- A repeat finds its record (same stem) or its idempotency entry, and answers what the first run answered.
-- KEYS: the verification lane, record, hours, hour index, idempotency entry (may be '')
-- ARGV: lane id, stem, hour, queue (0..2), record head, record tail, body digest, idempotency ttl ms,
--       max items, max age ms, ring ms, wake channel
-- Answers {'new' | 'repeat' | 'conflict' | 'full' | 'old', stem, sequence, generation to ring or ''}
local lane = lane_at(1, ARGV[1])
local record, hours, hour_index, entry = KEYS[12], KEYS[13], KEYS[14], KEYS[15]
local stem, hour, queue = ARGV[2], ARGV[3], lane[HIGH + tonumber(ARGV[4])]
local digest = ARGV[7]

local head = redis.call('GETRANGE', record, 0, 17)
if head ~= '' then return {'repeat', stem, string.sub(head, 3), ''} end
if entry then
  local known = redis.call('GET', entry)
  if known then
    if string.sub(known, 36) ~= digest then return {'conflict', '', '', ''} end
    return {'repeat', string.sub(known, 1, 19), string.sub(known, 20, 35), ''}
  end
end

local now, time = clock()
-- What is due within the time that the line may be old is work to come; rechecks of what was answered wait in the same
-- sets for hours, and an hour of broken name servers must not close the door for the next six.
local horizon, waiting = string.format('%.0f', now + tonumber(ARGV[10])), 0
for part = HIGH, LOW do waiting = waiting + redis.call('ZCOUNT', lane[part], '-inf', horizon) end
if waiting >= tonumber(ARGV[9]) then return {'full', '', '', ''} end
local oldest = first_score(queue)
if oldest and oldest < now - tonumber(ARGV[10]) then return {'old', '', '', ''} end

-- Not less than the clock, so that a counter lost with its Redis does not make every later result stale.
local last = number_of(redis.call('HGET', lane[COUNTERS], 'sequence')) or 0
local sequence = string.format('%.0f', math.max(last + 1, time[1] * 1000000 + time[2]))

redis.call('HSET', lane[COUNTERS], 'sequence', sequence)
redis.call('HSETNX', lane[META], 'live', 1)
redis.call('SET', record, ARGV[5] .. sequence .. ARGV[6])
if entry then redis.call('SET', entry, stem .. sequence .. digest, 'PX', ARGV[8]) end
if redis.call('EXISTS', hour_index) == 0 then redis.call('ZADD', hours, hour, hour) end
redis.call('ZADD', hour_index, 0, stem)
redis.call('ZADD', queue, string.format('%.0f', now), stem)
local ring = wake(lane, now, tonumber(ARGV[11]), ARGV[12])
return {'new', stem, sequence, ring or ''}
