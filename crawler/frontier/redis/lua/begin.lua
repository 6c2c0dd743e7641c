-- ARGV: run, extra, abandon, oldest, '' or the generation that it is to be behind, and whether that is published. '' where
-- the run has begun; else the run that is in the way.
local run = redis.call('HMGET', KEYS[1], 'run_id', 'finished')
if run[1] and run[2] ~= '1' then
  if run[1] == ARGV[1] then return '' end
  if ARGV[3] ~= '1' then return run[1] end
end
if ARGV[5] ~= '' and ARGV[5] ~= G then return run[1] or 'none' end
if ARGV[6] == '1' then
  -- Its URLs are what is remembered from now on: nothing is copied.
  if E ~= '' then redis.call('SADD', P .. 'stale', E) end
  redis.call('HSET', KEYS[1], 'earlier', G)
  redis.call('HDEL', KEYS[1], 'indexed', 'indexing')
end
redis.call('SADD', P .. 'stale', G)
redis.call('HINCRBY', KEYS[1], 'generation', 1)
redis.call('HSET', KEYS[1], 'run_id', ARGV[1], 'finished', '0', 'extra', ARGV[2], 'oldest', ARGV[4])
return ''
