-- uses: _lane
-- Removes old entries from the list of a subscription's latest deliveries, but not those that have yet to end.
-- KEYS: the subscription's lane
-- ARGV: lane id, after (exclusive, '' for the first), end (exclusive), limit
-- Answers the last entry that was looked at, '' when there are no more
local lane = lane_at(1, ARGV[1])
local low = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local items = redis.call('ZRANGEBYLEX', lane[LATEST], low, '(' .. ARGV[3], 'LIMIT', 0, ARGV[4])
for _, item in ipairs(items) do
  local waits = redis.call('ZSCORE', lane[FLIGHT], item)
  for part = HIGH, LOW do waits = waits or redis.call('ZSCORE', lane[part], item) end
  if not waits then redis.call('ZREM', lane[LATEST], item) end
end
return items[#items] or ''
