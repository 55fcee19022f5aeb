-- Does one thing of each kind that scripts do, so that a user who may not is found out before the first request.
-- What it writes it takes away again, and what takes away comes first, for a server that is at its memory limit.
-- KEYS: a key of nobody's
-- ARGV: wake channel
redis.call('UNLINK', KEYS[1])
redis.call('SET', KEYS[1], '')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'probe', 1)
redis.call('DEL', KEYS[1])
redis.call('ZADD', KEYS[1], redis.call('TIME')[1], 'probe')
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[1], '')
return 1
