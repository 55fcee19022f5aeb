-- A conversation with a mail operator is over. A repeat finds its turn gone and counts nothing twice.
-- KEYS: turns of the operator, what is known of it
-- ARGV: turn, what came of it ('good' | 'bad' | ''), patience, rest ms
-- Answers whether the operator is left alone from now on: 1 or 0
local patience, rest_ms = tonumber(ARGV[3]), tonumber(ARGV[4])
local KEPT_MS = 900000
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
if ARGV[2] == 'good' then redis.call('HDEL', KEYS[2], 'failures') end
if ARGV[2] ~= 'bad' then return 0 end
local failures = redis.call('HINCRBY', KEYS[2], 'failures', 1)
if redis.call('PTTL', KEYS[2]) < rest_ms + KEPT_MS then redis.call('PEXPIRE', KEYS[2], rest_ms + KEPT_MS) end
if failures < patience then return 0 end
-- One more failure after the rest is enough to rest again.
redis.call('HSET', KEYS[2], 'failures', patience - 1, 'closed_until', string.format('%.0f', now + rest_ms))
return 1
