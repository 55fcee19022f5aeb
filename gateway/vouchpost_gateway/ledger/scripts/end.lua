-- Ends what `begin` began, if the token is still the one that holds it: with its answer, forgotten since nothing was
-- done, or left to whoever asks again. A repeat finds it ended.
-- KEYS: the entry, as in `begin`
-- ARGV: token, answer ('' for none), '1' to forget, ttl ms
-- Answers 'ok' | 'stale'
local known = redis.call('GET', KEYS[1])
if not known or string.sub(known, 17, 17) ~= 'r' or string.sub(known, 31, 46) ~= ARGV[1] then return 'stale' end
if ARGV[3] == '1' then
  redis.call('DEL', KEYS[1])
elseif ARGV[2] == '' then
  redis.call('SETRANGE', KEYS[1], 17, '0000000000000')
else
  redis.call('SET', KEYS[1], string.sub(known, 1, 16) .. 'a' .. ARGV[2], 'PX', ARGV[4])
end
return 'ok'
