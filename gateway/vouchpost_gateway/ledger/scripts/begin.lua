-- Begins a request under an idempotency key, or says how it stands. One that is begun again, since nobody ended it in
-- time, draws what it drew before. A repeat finds its own token.
-- KEYS: the entry: digest of the body (16), then 'a' and the answer, or 'r', end of the lease (13), token (16) and draw
-- ARGV: digest of the body, token, draw, lease ms, ttl ms
-- Answers {'begun', draw} | {'answered', answer} | {'running' | 'conflict', ''}
local digest, token, draw = ARGV[1], ARGV[2], ARGV[3]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local known = redis.call('GET', KEYS[1])
if known then
  if string.sub(known, 1, 16) ~= digest then return {'conflict', ''} end
  if string.sub(known, 17, 17) == 'a' then return {'answered', string.sub(known, 18)} end
  if tonumber(string.sub(known, 18, 30)) > now and string.sub(known, 31, 46) ~= token then return {'running', ''} end
  draw = string.sub(known, 47)
end
-- Not by format: its %s ends at the first zero byte.
local lease_end = string.format('%013.0f', now + ARGV[4])
redis.call('SET', KEYS[1], digest .. 'r' .. lease_end .. token .. draw, 'PX', ARGV[5])
return {'begun', draw}
