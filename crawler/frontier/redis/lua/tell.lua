-- ARGV: worker, account. What its work has come to.
redis.call('HSET', R .. 'accounts', ARGV[1], ARGV[2])
return 1
