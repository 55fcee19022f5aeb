-- uses: _lane
-- Puts one delivery back in line, due now, and out of the dead letters. A delivery still in line only comes forward;
-- one in flight is left alone. A repeat finds it in line, and one with the same draw that it was carried out, however
-- that delivery went on.
-- KEYS: the subscription's lane, record, dead deliveries, and with a draw: that it was carried out
-- ARGV: lane id, item, state, section, delivery id (without prefix), queue, ring ms, wake channel, latest cap,
--       most bytes of a record, ttl ms of what was carried out, '1' when the lane's rest ends
-- Answers {'ok' | 'in_flight' | 'gone' | 'full', generation to ring or '', slow}
local lane = lane_at(1, ARGV[1])
local record, dead_letters = KEYS[12], KEYS[13]
local item, state, section, queue = ARGV[2], ARGV[3], ARGV[4], lane[HIGH + tonumber(ARGV[6])]
local carried_out = KEYS[14]

local function rung(now)
  local generation, slow = wake(lane, index(lane), now, tonumber(ARGV[7]), ARGV[8])
  return {'ok', generation and string.format('%.0f', generation) or '', slow}
end

local now = clock()
if carried_out and redis.call('PEXPIRE', carried_out, ARGV[11]) == 1 then return rung(now) end
local in_flight = redis.call('ZSCORE', lane[FLIGHT], item)
local text = redis.call('GET', record)
if not in_flight then
  if not text or redis.call('EXISTS', lane[META]) == 0 then return {'gone', '', '0'} end
  if #text > tonumber(ARGV[10]) then return {'full', '', '0'} end
end
if carried_out then redis.call('SET', carried_out, '', 'PX', ARGV[11]) end
if in_flight then return {'in_flight', '', '0'} end
local waiting = false
for part = HIGH, LOW do
  if redis.call('ZREM', lane[part], item) == 1 then waiting = true end
end
redis.call('ZREM', dead_letters, ARGV[5])
redis.call('ZADD', queue, string.format('%.0f', now), item)
if not waiting then
  redis.call('SET', record, text .. section)
  if state ~= '' then redis.call('HSET', lane[STATE], item, state) end
  redis.call('ZADD', lane[LATEST], 0, item)
  redis.call('ZREMRANGEBYRANK', lane[LATEST], 0, -tonumber(ARGV[9]) - 1)
end
if ARGV[12] == '1' then end_rest(lane) end
return rung(now)
