-- Forgets removals: of one page of the changes of a set, the numbers that are no subscription any more. Up to which
-- revision any were forgotten stands in the changes too, as a change of '': whoever has read less reads all again.
-- A repeat finds nothing more to forget.
-- KEYS: changes, subscriptions
-- ARGV: revision after which the page begins, limit
-- Answers the last revision of the page, '' when there are no more
local changes = KEYS[1]
local page = redis.call('ZRANGEBYSCORE', changes, '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local removed, last = {}, nil
for i = 1, #page, 2 do
  if page[i] ~= '' and redis.call('HEXISTS', KEYS[2], page[i]) == 0 then
    removed[#removed + 1], last = page[i], page[i + 1]
  end
end
if last then
  redis.call('ZREM', changes, unpack(removed))
  redis.call('ZADD', changes, 'GT', last, '')
end
return page[#page] or ''
