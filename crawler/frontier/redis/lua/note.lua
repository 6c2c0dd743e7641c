-- ARGV: has extra, extra, finished, what extra must be ('' any). 0 where no run has begun, -1 where it is another.
if redis.call('HEXISTS', KEYS[1], 'run_id') == 0 then return 0 end
if ARGV[4] ~= '' and redis.call('HGET', KEYS[1], 'extra') ~= ARGV[4] then return -1 end
if ARGV[1] == '1' then redis.call('HSET', KEYS[1], 'extra', ARGV[2]) end
if ARGV[3] == '1' then redis.call('HSET', KEYS[1], 'finished', '1') end
return 1
