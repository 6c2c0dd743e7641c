-- ARGV: run, extra, abandon, oldest. '' where the run has begun; else the unfinished run that is in the way.
local run = redis.call('HMGET', KEYS[1], 'run_id', 'finished')
if run[1] and run[2] ~= '1' then
  if run[1] == ARGV[1] then return '' end
  if ARGV[3] ~= '1' then return run[1] end
end
redis.call('SADD', P .. 'stale', G)
redis.call('HINCRBY', KEYS[1], 'generation', 1)
redis.call('HSET', KEYS[1], 'run_id', ARGV[1], 'finished', '0', 'extra', ARGV[2], 'oldest', ARGV[4])
return ''
