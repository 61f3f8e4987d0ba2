-- Binds a queue that expires, as kombu 5.7 does: a table of bindings is swept once its deadline is over, unless it
-- has permanent ones too. Older kombus know no deadlines, and read the table alone.
--
-- KEYS     1 the exchange's bindings, 2 deadlines
-- ARGV     1 binding, 2 exchange, 3 for how many ms
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], 'GT', clock() + ARGV[3], ARGV[2])
