-- uses: _lane
-- Ends a delivery that waited past all retention: out of its lane, into the dead letters. One in flight is left alone.
-- A repeat finds it out of the lane.
-- KEYS: the subscription's lane, record, dead deliveries
-- ARGV: lane id, item, section, dead letter id
-- Answers 'ok' | 'gone'
local lane = lane_at(1, ARGV[1])
local item = ARGV[2]
local waiting = false
for part = HIGH, LOW do
  if redis.call('ZREM', lane[part], item) == 1 then waiting = true end
end
if not waiting then return 'gone' end
redis.call('HDEL', lane[STATE], item)
local text = redis.call('GET', KEYS[12])
if text then
  redis.call('SET', KEYS[12], text .. ARGV[3])
  redis.call('ZADD', KEYS[13], 0, ARGV[4])
end
index(lane)
return 'ok'
