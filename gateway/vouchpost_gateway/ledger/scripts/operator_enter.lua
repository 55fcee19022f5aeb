-- One more conversation with a mail operator, if all workers together may have it. A repeat finds its own turn.
-- KEYS: turns of the operator, what is known of it, turns of all operators today
-- ARGV: turn, lease ms, at once, ms between two turns, cap of the operator a day (0: none), cap of all (0: none)
-- Answers {'go' | 'busy' | 'resting' | 'capped', ms until it is worth asking again}
local turn, lease_ms, at_once, interval = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local cap, total_cap = tonumber(ARGV[5]), tonumber(ARGV[6])
local DAY_MS, KEPT_MS = 86400000, 900000
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local today, until_tomorrow = math.floor(now / DAY_MS), DAY_MS - now % DAY_MS
if redis.call('ZSCORE', KEYS[1], turn) then return {'go', 0} end

local known = redis.call('HMGET', KEYS[2], 'closed_until', 'next_at', 'day', 'used')
local closed_until, next_at = tonumber(known[1] or '0'), tonumber(known[2] or '0')
local used = tonumber(known[3] or '-1') == today and tonumber(known[4] or '0') or 0
local total = tonumber(redis.call('HGET', KEYS[3], today) or '0')
if closed_until > now then return {'resting', closed_until - now} end
if (cap > 0 and used >= cap) or (total_cap > 0 and total >= total_cap) then return {'capped', until_tomorrow} end

-- The first write takes away.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= at_once then return {'busy', 100} end
-- A turn each interval, with as many ahead of time as may run at once (GCRA).
local from = math.max(next_at, now)
local ahead = from - now - at_once * interval
if ahead > 0 then return {'busy', math.ceil(ahead)} end

redis.call('ZADD', KEYS[1], string.format('%.0f', now + lease_ms), turn)
redis.call('PEXPIRE', KEYS[1], lease_ms * 2)
redis.call('HSET', KEYS[2], 'next_at', string.format('%.0f', from + interval), 'day', today, 'used', used + 1)
-- There are as many operators as there are domains with a host of their own: without a cap none is kept for long.
redis.call('PEXPIRE', KEYS[2], cap > 0 and DAY_MS or KEPT_MS)
if total == 0 then redis.call('DEL', KEYS[3]) end -- yesterday's
redis.call('HINCRBY', KEYS[3], today, 1)
redis.call('PEXPIRE', KEYS[3], DAY_MS)
return {'go', 0}
