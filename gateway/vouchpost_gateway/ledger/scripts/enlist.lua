-- uses: _lane
-- Puts an item in a lane, due after a delay, unless it is there already (then it comes forward, keeping its state).
-- KEYS: the lane, record (may be the lane's own meta when there is none)
-- ARGV: lane id, item, queue, state, delay ms, ring ms, wake channel, section ('' for none)
-- Answers {'ok' | 'in_flight' | 'gone', generation to ring or '', slow}
local lane = lane_at(1, ARGV[1])
local item, section = ARGV[2], ARGV[8]
if redis.call('ZSCORE', lane[FLIGHT], item) then return {'in_flight', '', '0'} end
local text = section ~= '' and redis.call('GET', KEYS[12])
if section ~= '' and not text then return {'gone', '', '0'} end
local now = clock()
for part = HIGH, LOW do redis.call('ZREM', lane[part], item) end
redis.call('HSETNX', lane[META], 'live', 1)
redis.call('ZADD', lane[HIGH + tonumber(ARGV[3])], string.format('%.0f', now + tonumber(ARGV[5])), item)
if ARGV[4] ~= '' then redis.call('HSET', lane[STATE], item, ARGV[4]) end
if text then redis.call('SET', KEYS[12], text .. section) end
local generation, slow = wake(lane, index(lane), now, tonumber(ARGV[6]), ARGV[7])
return {'ok', generation and string.format('%.0f', generation) or '', slow}
