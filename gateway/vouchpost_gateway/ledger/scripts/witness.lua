-- Whether a record is here, and a write behind it for WAIT to wait for. A repeat writes the same again.
-- KEYS: record, counters
-- Answers 1 | 0
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[2], 'witness', 1)
return 1
