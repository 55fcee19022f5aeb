-- Looks for a verdict on an address, or takes the mark of the one who checks it now. A repeat finds its own mark.
-- KEYS: verdict cache entry
-- ARGV: stem, lease ms
-- Answers {'mine' | 'busy' | 'known', stem of the record that holds the verdict or ms until the mark ends}
local text = redis.call('GET', KEYS[1])
if text and string.sub(text, 1, 1) ~= '~' then return {'known', text} end
if text and text ~= '~' .. ARGV[1] then return {'busy', redis.call('PTTL', KEYS[1])} end
-- The first write takes away, so that checking goes on when Redis is at its memory limit.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], '~' .. ARGV[1], 'PX', ARGV[2])
return {'mine', ''}
