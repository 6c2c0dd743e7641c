-- ARGV: worker, run, code, manifest, extra, finished. What has come of the run, for whoever waits for it. 0 where others
-- have joined meanwhile: it is not over.
if redis.call('HGET', KEYS[1], 'run_id') ~= ARGV[2] then return 0 end
if redis.call('GET', R .. 'closer') ~= ARGV[1] then return 0 end
redis.call('HSET', P .. 'verdict', 'run_id', ARGV[2], 'code', ARGV[3], 'manifest', ARGV[4])
redis.call('HSET', KEYS[1], 'extra', ARGV[5])
if ARGV[6] == '1' then redis.call('HSET', KEYS[1], 'finished', '1') end
return 1
